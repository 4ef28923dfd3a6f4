"""Who is answered by which model: the experiment file, the customers' shares, the models, and the decision itself."""
