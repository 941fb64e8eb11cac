"""The request fields that the official SDKs know, as paths such as `messages[user].content[text].text`.

In brackets stands the kind of an element (its `type` or `role`), where elements have kinds.
"""
