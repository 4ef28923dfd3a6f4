"""Retention e-mails: drafts that ask a customer to stay, by Groq where it answers well and by a template where not.

What lives here chooses what may be said, asks Groq with the contract's words alone, and takes no draft that says more.
Nothing here sends an e-mail, and nothing here learns who the customer is.
"""
