//! The protocol of one secret, model-checked: every interleaving of puts, uses, a deletion, a
//! change of policy, a promotion, a revocation, a change of the key and a re-wrap with its
//! duplicate, each a sequence of its calls of the store and of KMS.
//!
//! ```text
//! table       the records                              conditions   one for each of the store's, by name
//! transact    the transactions, with these conditions  history      what was acknowledged; what must hold
//! actors, job who calls what, in which order           explore      every interleaving
//! every       that nothing goes wrong                  breaks       that without each condition something does
//! replay      the same steps on the real store, compared one by one
//! ```
//!
//! What keeps the model honest is the replay: the ways on which a model without one of the
//! conditions goes wrong, and random ones beside them, are gone on the real store over the
//! embedded DynamoDB, and after each step its answer and its records are the model's.
//!
//! By default there are 1.2 million states: half a minute with two cores. `BYOK_MODEL=large` has
//! more actors at once (18 million, some ten minutes); `BYOK_MODEL_WALKS` says how many random ways are replayed, `BYOK_TEST_SEED` from
//! which seed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests are tests too"
)]

mod actors;
mod breaks;
mod conditions;
mod every;
mod explore;
mod history;
mod job;
mod replay;
mod table;
mod transact;
