//! Tests of the whole runtime.
