//! The program itself, as a child process: that it comes up again with all that
//! it acknowledged, however it ended; that it refuses what is broken in one line
//! and leaves it alone; and that it tells its story.
//!
//! Nothing here sleeps until something is so: a start is over when the program
//! prints `ready`, an end when its standard output closes, both with a deadline.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests are tests too"
)]

mod child;
mod loops;
mod random;

mod demo;
mod kills;
mod refusals;
mod restart;
mod rewraps;
mod streams;
