"""Products that read packed numbers themselves, for the devices and libraries that have them."""
