"""What is wrong with a server and its machine, and what to do. Fed by ``mlflow-serving doctor`` and by an admin's
``GET /serving/diagnosis``; the same checks run on both ways.
"""
