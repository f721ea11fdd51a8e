//! The KMS adapter, through the real SDK, against a KMS that enforces policies
//! and grants, and against one that lies.

#![cfg(test)]

mod answers;
mod canary;
mod faults;
mod forged;
mod house;
mod inspect;
mod lint;
mod mac;
mod policy;
mod probe;
mod refusals;
mod rewrap;
mod texts;
