//! What every function does the same way.
//!
//! ```text
//! an event or a connection -> edge -> Call -> Api::admit -> the use case -> answer or Problem
//! ```
//!
//! - [`Api`] holds what all functions share, and [`Api::admit`] says who is asking
//!   and reads, in the same call, the records that the use case needs.
//! - [`Problem`] is the one way in which a caller hears of an error. Only this room
//!   knows HTTP's status codes for them.
//! - [`edge`] turns routes into a served port or a Lambda function.
//!
//! What this room refuses to do: it forms no secret, and it logs no header, body,
//! query or event.

mod admit;
mod audit;
mod body;
mod call;
mod clock;
pub mod edge;
mod kek;
pub mod log;
pub mod openapi;
mod problem;
pub mod settings;
mod token;
mod verify;
mod write;

pub use admit::{Admitted, Api, Caller, Need};
pub use audit::{note_secret, outcome};
pub use body::{Fields, rfc3339};
pub use call::{Call, json};
pub use clock::Clock;
pub use kek::{current_kek, keks};
pub use problem::{Code, Problem};
pub use token::Token;
pub use verify::{Macs, Verifying};
pub use write::{Fingerprint, Preconditions, idempotency_key, json_at, no_content};
