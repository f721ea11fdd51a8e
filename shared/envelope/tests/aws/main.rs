//! The KMS adapter, through the real SDK, against a KMS that enforces policies
//! and grants, and against one that lies.

#![cfg(test)]

mod answers;
mod faults;
mod forged;
mod house;
mod policy;
mod refusals;
