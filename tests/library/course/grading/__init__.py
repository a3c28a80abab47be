"""Tests of grading a class: what is read from strangers, what runs their code, what is given back."""
