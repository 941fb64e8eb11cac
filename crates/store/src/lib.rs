//! Where state lives: the objects of the Admin API in one crash-safe file.
