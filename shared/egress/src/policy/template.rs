//! Texts with marks in them, which a request fills.

/// What a mark stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The method, in upper case.
    Method,
    /// The host as the Host header has it, with its port unless that is the default.
    Host,
    /// The path as it is sent, percent-encoded.
    Path,
    /// The query as it is sent, without its question mark; empty if there is none.
    Query,
    /// Path and query as they are sent, with the question mark if there is a query.
    Target,
    /// The body's bytes.
    Body,
    /// The time of the signature.
    Timestamp,
    /// The signature itself.
    Signature,
}

impl Mark {
    const ALL: [(&'static str, Self); 8] = [
        ("{method}", Self::Method),
        ("{host}", Self::Host),
        ("{path}", Self::Path),
        ("{query}", Self::Query),
        ("{target}", Self::Target),
        ("{body}", Self::Body),
        ("{timestamp}", Self::Timestamp),
        ("{signature}", Self::Signature),
    ];
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Mark(Mark),
}

/// A text with marks in it: `t={timestamp},v1={signature}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

impl Template {
    /// Reads a template; `None` if a brace in it belongs to no mark. Braces beside
    /// marks are kept free for marks to come.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let begun = Mark::ALL
                .into_iter()
                .find_map(|(name, mark)| Some((mark, rest.strip_prefix(name)?)));
            let (piece, after) = match begun {
                Some((mark, after)) => (Piece::Mark(mark), after),
                None => {
                    let (plain, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
                    if plain.is_empty() || plain.contains('}') {
                        return None;
                    }
                    (Piece::Text(plain.to_owned()), after)
                }
            };
            pieces.push(piece);
            rest = after;
        }
        Some(Self {
            text: text.to_owned(),
            pieces,
        })
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// How often a mark stands in it.
    pub(super) fn count(&self, mark: Mark) -> usize {
        self.pieces
            .iter()
            .filter(|piece| **piece == Piece::Mark(mark))
            .count()
    }

    /// Whether no other marks than these stand in it.
    pub(super) fn has_only(&self, marks: &[Mark]) -> bool {
        self.pieces.iter().all(|piece| match piece {
            Piece::Text(_) => true,
            Piece::Mark(mark) => marks.contains(mark),
        })
    }
}
