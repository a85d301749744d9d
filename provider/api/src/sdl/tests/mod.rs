//! What files are accepted and what is said about the others.

mod corpus;
