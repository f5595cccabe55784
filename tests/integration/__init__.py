"""Tests of several components together, through their public interfaces."""
