//! Lists: ranges of one partition, a page at a time.

use super::{Item, Store, failure::unavailable, keys, read::sk};
use crate::{Page, SecretPattern, StoreError};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{SecretName, SecretVersion};
use std::collections::HashMap;

/// The most that one page can be asked to hold.
pub(super) const PAGE_MAX: u32 = 1000;
/// How many queries one page may take; what they skipped is then left to the next page.
const QUERIES: u32 = 16;

/// Some of the records of one partition, in the order of their sort keys.
pub(super) struct Range<'a> {
    store: &'a Store,
    table: &'a str,
    pk: String,
    keys: Keys,
    prefix: String,
    only: Option<Vec<&'static str>>,
    backwards: bool,
}

enum Keys {
    All,
    Prefixed,
    Between(String, String),
}

impl<'a> Range<'a> {
    /// The records of the table `broker` whose sort keys begin with `prefix`.
    pub(super) fn prefixed(store: &'a Store, pk: String, prefix: &str) -> Self {
        Self {
            keys: Keys::Prefixed,
            prefix: prefix.to_owned(),
            ..Self::new(store, &store.table, pk)
        }
    }

    /// The records of the table `broker` between two sort keys, both included.
    pub(super) fn between(store: &'a Store, pk: String, from: String, to: String) -> Self {
        Self {
            keys: Keys::Between(from, to),
            ..Self::new(store, &store.table, pk)
        }
    }

    /// The archived versions of a secret from one number to another, both included.
    pub(super) fn versions(
        store: &'a Store,
        pk: String,
        name: &SecretName,
        (from, to): (SecretVersion, SecretVersion),
    ) -> Self {
        let (from, to) = (keys::version(name, from), keys::version(name, to));
        Self {
            prefix: keys::versions(name),
            ..Self::between(store, pk, from, to)
        }
    }

    /// What says which job lives in which workspace.
    pub(super) fn live_jobs(store: &'a Store) -> Self {
        Self::new(store, &store.table, keys::LIVE_JOBS.to_owned())
    }

    /// The secrets' heads that a pattern matches, those after a name only.
    pub(super) fn matching(
        store: &'a Store,
        pk: String,
        pattern: &SecretPattern,
        after: Option<&SecretName>,
    ) -> Self {
        let (from, to) = match pattern {
            SecretPattern::Name(name) => (keys::head(name), keys::head(name)),
            // `~` sorts after every character of a name, and `!` before.
            SecretPattern::Prefix(prefix) => {
                (keys::head(prefix), format!("{}~", keys::head(prefix)))
            }
        };
        let after = after.map(|name| format!("{}!", keys::head(name)));
        let from = after.filter(|after| *after > from).unwrap_or(from);
        Self {
            prefix: keys::HEADS.to_owned(),
            ..Self::between(store, pk, from, to)
        }
    }

    /// All records of one partition of the table `audit`.
    pub(super) fn of_audit(store: &'a Store, pk: String) -> Self {
        Self::new(store, &store.audit_table, pk)
    }

    fn new(store: &'a Store, table: &'a str, pk: String) -> Self {
        Self {
            store,
            table,
            pk,
            keys: Keys::All,
            prefix: String::new(),
            only: None,
            backwards: false,
        }
    }

    /// From the last record to the first.
    pub(super) fn backwards(mut self) -> Self {
        self.backwards = true;
        self
    }

    /// Asks for these attributes and the sort key alone.
    pub(super) fn only(mut self, attributes: &[&'static str]) -> Self {
        self.only = Some([&["sk"], attributes].concat());
        self
    }

    /// A page of the range: what `parse` makes of each record, given what
    /// follows the prefix in its sort key; `None` leaves it out.
    pub(super) async fn list<T>(
        &self,
        after: Option<&str>,
        limit: u32,
        parse: impl Fn(&str, Item) -> Result<Option<T>, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut items = Vec::new();
        let mut last = after.map(str::to_owned);
        for _ in 0..QUERIES {
            let after = last.as_deref().map(|id| format!("{}{id}", self.prefix));
            // One more than the page holds, to know whether it is the last.
            let (found, more) = self.query(after, Some(limit + 1)).await?;
            for item in found {
                let id = self.id(&item)?;
                let Some(parsed) = parse(&id, item)? else {
                    last = Some(id);
                    continue;
                };
                if items.len() == limit as usize {
                    return Ok(Page { items, next: last });
                }
                items.push(parsed);
                last = Some(id);
            }
            if more.is_none() {
                return Ok(Page { items, next: None });
            }
        }
        Ok(Page { items, next: last })
    }

    /// One query: the records, and the last sort key where there may be more.
    pub(super) async fn query(
        &self,
        after: Option<String>,
        limit: Option<u32>,
    ) -> Result<(Vec<Item>, Option<String>), StoreError> {
        let mut values = Item::from([(":pk".to_owned(), AttributeValue::S(self.pk.clone()))]);
        let mut value = |name: &str, text: &str| {
            values.insert(name.to_owned(), AttributeValue::S(text.to_owned()))
        };
        if let Keys::Between(from, to) = &self.keys
            && from > to
        {
            return Ok((Vec::new(), None));
        }
        let condition = match &self.keys {
            Keys::All => "pk = :pk",
            Keys::Prefixed => {
                value(":prefix", &self.prefix);
                "pk = :pk AND begins_with(sk, :prefix)"
            }
            Keys::Between(from, to) => {
                value(":from", from);
                value(":to", to);
                "pk = :pk AND sk BETWEEN :from AND :to"
            }
        };
        let names = self.only.as_ref().map(|only| {
            only.iter()
                .enumerate()
                .map(|(n, name)| (format!("#a{n}"), (*name).to_owned()))
                .collect::<HashMap<_, _>>()
        });
        let projection = self.only.as_ref().map(|only| {
            (0..only.len())
                .map(|n| format!("#a{n}"))
                .collect::<Vec<_>>()
                .join(", ")
        });
        let output = self
            .store
            .client
            .query()
            .table_name(self.table)
            .consistent_read(true)
            .scan_index_forward(!self.backwards)
            .key_condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .set_expression_attribute_names(names)
            .set_projection_expression(projection)
            .set_exclusive_start_key(after.map(|sk| keys::primary(&self.pk, &sk)))
            .set_limit(limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
            .send()
            .await
            .map_err(|error| unavailable("list", &error))?;
        let more = output
            .last_evaluated_key
            .filter(|key| !key.is_empty())
            .map(|key| sk(&key).map(str::to_owned))
            .transpose()?;
        Ok((output.items.unwrap_or_default(), more))
    }

    /// What follows the prefix in a record's sort key.
    pub(super) fn id(&self, item: &Item) -> Result<String, StoreError> {
        sk(item)?
            .strip_prefix(&self.prefix)
            .map(str::to_owned)
            .ok_or(StoreError::Broken("record"))
    }
}
