"""Modules of torch that hold modes. This folder alone imports torch as it is loaded, since its classes are torch's."""
