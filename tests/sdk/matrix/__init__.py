"""Every official SDK against every kind of provider.

`talk` says in no dialect what is asked and answered; `providers` are mock providers, written from the providers' own
documentation and types and not from the gateway's code; `clients` say the same through the official SDKs.
"""
