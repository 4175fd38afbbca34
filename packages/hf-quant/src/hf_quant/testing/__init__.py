"""What tests of quantized models share; part of the package so that other formats can be tested alike."""
