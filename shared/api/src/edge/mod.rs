//! The edges: where requests come in. A function exports bare routes; what is
//! the same for all of them is added here, once.

mod http;
mod lambda;

pub use http::{finish, serve};
pub use lambda::{Invoke, answer_event, run, run_streaming};
