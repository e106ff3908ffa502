"""The four venues as servers on this machine, which verify requests as the venues do.

They share no signing code with the service, so a mistake there can't hide here.
"""
