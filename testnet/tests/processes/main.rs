//! Whole networks of real processes, from outside: with the binaries that people run, by the commands that they type.

mod demo;
mod harness;
mod tenants;
mod validators;
