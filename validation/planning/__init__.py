"""Planning a trial: how many matured customers, and so how many days, a decision will take, and whether it can be had.

`question` says what is asked, `simulating` plays the verdict's own rule over many trials, `plan` puts both together;
all three are pure. `terminal` and `page` show it.
"""
