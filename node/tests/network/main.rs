//! Four validators in one process, over real sockets and real files.

mod harness;

mod blocks;
mod restarts;
