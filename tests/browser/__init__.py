"""A package, or pytest would keep what is of ``scope="package"``, an event loop too, for the tests of other places."""
