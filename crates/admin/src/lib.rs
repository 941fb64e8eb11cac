//! The Admin API: APISIX's way to read and change the objects a gateway runs.
