"""The checks, by what they look at; each module enters its own in `lpca.validity.catalogue.CHECKS`.

The list of checks is read where no model is: to collect tests, to print them. Nothing here
therefore loads torch, transformers or scipy when it is imported; a check that needs one of them
imports it when it is carried out.
"""
