//! The wraps of a workspace: visited, and counted.

use super::{Store, keys, list::Range, wire_wrap};
use crate::{StoreError, WrapCount, WrapCounts, WrapItem, WrapPart};
use envelope::{KeyArn, WorkspaceId};
use std::collections::BTreeMap;

/// The most that one call visits.
const VISITED_MAX: u32 = 200;

impl Store {
    /// Wraps of one part of a workspace, in the order of their places: one Query, of at
    /// most `limit` records and never more than 200, from `after` on. Asks for no sealed
    /// bytes; tombstones and revoked versions are left out. Beside them, where to go on;
    /// `None` at the end.
    ///
    /// # Errors
    /// A record is broken, or DynamoDB could not be asked.
    pub async fn wraps(
        &self,
        workspace: &WorkspaceId,
        part: WrapPart,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<WrapItem>, Option<String>), StoreError> {
        let prefix = prefix(part);
        let range = Range::prefixed(self, keys::workspace(workspace), prefix).only(wire_wrap::ITEM);
        let after = after.map(|after| format!("{prefix}{after}"));
        let limit = limit.clamp(1, VISITED_MAX);
        let (found, more) = range.query(after, Some(limit)).await?;
        let mut wraps = Vec::with_capacity(found.len());
        for item in found {
            let place = range.id(&item)?;
            wraps.extend(wire_wrap::wrap(workspace, part, &place, item)?);
        }
        let next = more.map(|sk| sk[prefix.len()..].to_owned());
        Ok((wraps, next))
    }

    /// How many versions sit under each KEK, by what at most `limit` records say: those of
    /// the heads first, then the earlier ones. So a version that a put archives meanwhile
    /// is counted once at least; one that is promoted meanwhile, which the current KEK
    /// wraps anew, may be missed.
    ///
    /// # Errors
    /// A record is broken, or DynamoDB could not be asked.
    pub async fn count_wraps(
        &self,
        workspace: &WorkspaceId,
        limit: u32,
    ) -> Result<WrapCounts, StoreError> {
        let mut counts: BTreeMap<(String, Option<String>), WrapCount> = BTreeMap::new();
        let mut left = limit;
        for part in [WrapPart::Heads, WrapPart::Earlier] {
            let range = Range::prefixed(self, keys::workspace(workspace), prefix(part))
                .only(wire_wrap::COUNT);
            let mut after = None;
            loop {
                if left == 0 {
                    return Ok(counted(counts, false));
                }
                let (found, more) = range.query(after, Some(left)).await?;
                left = left.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
                for item in found {
                    if let Some((key, material)) = wire_wrap::counted(part, item)? {
                        count(&mut counts, part, key, material);
                    }
                }
                after = more;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(counted(counts, true))
    }
}

fn count(
    counts: &mut BTreeMap<(String, Option<String>), WrapCount>,
    part: WrapPart,
    key: KeyArn,
    material: Option<String>,
) {
    let of = (key.as_str().to_owned(), material.clone());
    let one = counts.entry(of).or_insert(WrapCount {
        key,
        material,
        secrets: 0,
        versions: 0,
    });
    one.secrets += u64::from(part == WrapPart::Heads);
    one.versions += 1;
}

fn counted(counts: BTreeMap<(String, Option<String>), WrapCount>, complete: bool) -> WrapCounts {
    WrapCounts {
        by_key: counts.into_values().collect(),
        complete,
    }
}

fn prefix(part: WrapPart) -> &'static str {
    match part {
        WrapPart::Heads => keys::HEADS,
        WrapPart::Earlier => keys::EARLIER,
    }
}
