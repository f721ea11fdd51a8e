//! Lists, a page at a time.

/// One page of a list, in the order of the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items; fewer than asked for is no sign of the end.
    pub items: Vec<T>,
    /// The id to ask on from, as text for its own `parse`; `None` at the end.
    pub next: Option<String>,
}
