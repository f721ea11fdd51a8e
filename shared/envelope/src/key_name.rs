//! The names of KMS keys: the ARN of a key, and the ARN of an alias of one.
//!
//! A record holds a [`KeyArn`] alone. An alias can be moved to another key, so it
//! only ever leads to one: it is asked about, and what it leads to is kept.

use crate::InvalidId;
use std::{fmt, str::FromStr};

/// The ARN of a KMS key, `arn:<partition>:kms:<region>:<account>:key/<id>`: the
/// KEK's name, which is all of the KEK that the broker ever has. The key's id is
/// a UUID, or `mrk-` and 32 hexadecimal digits for a multi-Region key (AWS KMS
/// Developer Guide, "Key identifiers"). An alias is not a key: it can be moved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyArn(Arn);

impl KeyArn {
    const FORM: InvalidId = InvalidId {
        kind: "KMS key ARN",
        rule: "arn:aws:kms:<region>:<12-digit account>:key/<key id>",
    };

    /// Takes untrusted text.
    ///
    /// # Errors
    /// The text is not the ARN of a KMS key.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let wrong = |rule| Err(InvalidId { rule, ..Self::FORM });
        let arn = Arn::parse(text).ok_or(Self::FORM)?;
        if arn.resource().starts_with("alias/") {
            return wrong(
                "the key's own ARN is needed, not an alias, which can be moved to another key",
            );
        }
        match arn.resource().strip_prefix("key/") {
            None => Err(Self::FORM),
            Some(id) if is_key_id(id) => Ok(Self(arn)),
            Some(_) => wrong("the key id is a UUID, or mrk- and 32 hexadecimal digits"),
        }
    }

    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The Region that the key lives in; its KMS is called there.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.region()
    }

    /// The 12-digit id of the account that owns the key.
    #[must_use]
    pub fn account(&self) -> &str {
        self.0.account()
    }

    /// The key's id: what follows `key/`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.resource()["key/".len()..]
    }

    /// Whether it is a multi-Region key, whose id begins `mrk-` (AWS KMS Developer
    /// Guide, "Multi-Region keys in AWS KMS").
    #[must_use]
    pub fn is_multi_region(&self) -> bool {
        self.id().starts_with("mrk-")
    }

    /// Whether both are keys of one multi-Region key in two Regions: what one
    /// wraps, the other unwraps. They have the same partition, account and id.
    #[must_use]
    pub fn is_replica_of(&self, other: &Self) -> bool {
        self.is_multi_region()
            && self.id() == other.id()
            && self.account() == other.account()
            && self.0.partition() == other.0.partition()
            && self.region() != other.region()
    }
}

/// The ARN of an alias, `arn:<partition>:kms:<region>:<account>:alias/<name>`,
/// where the name has 1 to 250 letters, digits, slashes, underscores and hyphens
/// (AWS KMS API Reference, CreateAlias). Its key is of the same account and Region.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyAlias(Arn);

impl KeyAlias {
    const FORM: InvalidId = InvalidId {
        kind: "KMS alias ARN",
        rule: "arn:aws:kms:<region>:<12-digit account>:alias/<name>",
    };

    /// Takes untrusted text.
    ///
    /// # Errors
    /// The text is not the ARN of an alias.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let arn = Arn::parse(text).ok_or(Self::FORM)?;
        match arn.resource().strip_prefix("alias/") {
            None => Err(Self::FORM),
            Some(name) if is_alias_name(name) => Ok(Self(arn)),
            Some(_) => Err(InvalidId {
                rule: "an alias has 1 to 250 letters, digits, slashes, underscores and hyphens",
                ..Self::FORM
            }),
        }
    }

    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The Region that the alias, and with it its key, lives in.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.region()
    }

    /// Whether it can be an alias of this key: one of its partition, account and Region.
    pub(crate) fn can_lead_to(&self, key: &KeyArn) -> bool {
        self.0.text[..self.0.account.1] == key.0.text[..key.0.account.1]
    }
}

/// What a call of KMS can name: a key, or an alias of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyName {
    /// The key itself.
    Key(KeyArn),
    /// An alias, which may lead to another key tomorrow.
    Alias(KeyAlias),
}

impl KeyName {
    /// Takes untrusted text.
    ///
    /// # Errors
    /// The text is neither the ARN of a KMS key nor that of an alias.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let is_alias = Arn::parse(text).is_some_and(|arn| arn.resource().starts_with("alias/"));
        if is_alias {
            KeyAlias::parse(text).map(Self::Alias)
        } else {
            KeyArn::parse(text).map(Self::Key)
        }
    }

    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Key(key) => key.as_str(),
            Self::Alias(alias) => alias.as_str(),
        }
    }

    /// The Region whose KMS knows the name.
    #[must_use]
    pub fn region(&self) -> &str {
        match self {
            Self::Key(key) => key.region(),
            Self::Alias(alias) => alias.region(),
        }
    }
}

impl From<KeyArn> for KeyName {
    fn from(key: KeyArn) -> Self {
        Self::Key(key)
    }
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    )*};
}

text!(KeyArn, KeyAlias, KeyName);

/// `arn:<partition>:kms:<region>:<account>:<resource>`; where each part begins and ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Arn {
    text: String,
    partition: (usize, usize),
    region: (usize, usize),
    account: (usize, usize),
}

impl Arn {
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [arn, partition, service, region, account, _] = parts[..] else {
            return None;
        };
        let plain = |part: &str| {
            (1..=32).contains(&part.len())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let is_one = arn == "arn"
            && (partition == "aws" || partition.starts_with("aws-"))
            && plain(partition)
            && service == "kms"
            && plain(region)
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit());
        if !is_one {
            return None;
        }
        let after = |(_, end): (usize, usize), part: &str| (end + 1, end + 1 + part.len());
        let partition = after((0, arn.len()), partition);
        let region = after(after(partition, service), region);
        let account = after(region, account);
        Some(Self {
            text: text.to_owned(),
            partition,
            region,
            account,
        })
    }

    fn partition(&self) -> &str {
        &self.text[self.partition.0..self.partition.1]
    }

    fn region(&self) -> &str {
        &self.text[self.region.0..self.region.1]
    }

    fn account(&self) -> &str {
        &self.text[self.account.0..self.account.1]
    }

    fn resource(&self) -> &str {
        &self.text[self.account.1 + 1..]
    }
}

fn is_key_id(id: &str) -> bool {
    let hex = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    if let Some(digits) = id.strip_prefix("mrk-") {
        return digits.len() == 32 && hex(digits);
    }
    let parts: Vec<&str> = id.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| hex(part))
}

fn is_alias_name(name: &str) -> bool {
    (1..=250).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ARN: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const ALIAS: &str = "arn:aws:kms:eu-west-1:111122223333:alias/byok/prod_1-a";
    const MRK: &str = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";

    #[test]
    fn a_key_arn_tells_its_region_account_and_id() {
        let arn = KeyArn::parse(ARN).unwrap();
        assert_eq!(
            (arn.as_str(), arn.region(), arn.account(), arn.id()),
            (
                ARN,
                "eu-west-1",
                "111122223333",
                "1234abcd-12ab-34cd-56ef-1234567890ab"
            )
        );
        assert!(!arn.is_multi_region() && KeyArn::parse(MRK).unwrap().is_multi_region());
    }

    #[test]
    fn what_only_looks_like_a_key_arn_is_refused() {
        for text in [
            "",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            ALIAS,
            "arn:aws:kms:eu-west-1:11112222333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms::111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:s3:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:evil:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:eu-west-1.evil.example/:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:eu-west-1:111122223333:key/1234ABCD-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab ",
            "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234",
        ] {
            assert!(KeyArn::parse(text).is_err(), "{text}");
            assert!(KeyName::parse(text).is_err() || text == ALIAS, "{text}");
        }
    }

    #[test]
    fn an_alias_is_a_name_of_a_key_but_no_key() {
        let alias = KeyAlias::parse(ALIAS).unwrap();
        assert_eq!((alias.as_str(), alias.region()), (ALIAS, "eu-west-1"));
        assert_eq!(KeyName::parse(ALIAS), Ok(KeyName::Alias(alias)));
        let key = KeyArn::parse(ARN).unwrap();
        assert_eq!(KeyName::parse(ARN), Ok(KeyName::Key(key.clone())));
        assert_eq!(KeyName::from(key).as_str(), ARN);
    }

    #[test]
    fn what_only_looks_like_an_alias_is_refused() {
        let named = |name: &str| format!("arn:aws:kms:eu-west-1:111122223333:alias/{name}");
        assert!(KeyAlias::parse(&named(&"a".repeat(250))).is_ok());
        for text in [
            named(""),
            named(&"a".repeat(251)),
            named("a b"),
            named("a:b"),
            named("ä"),
            "alias/mine".to_owned(),
            "arn:aws:kms:eu-west-1:111122223333:Alias/mine".to_owned(),
            "arn:aws:kms:eu-west-1:1111:alias/mine".to_owned(),
            ARN.to_owned(),
        ] {
            assert!(KeyAlias::parse(&text).is_err(), "{text}");
            assert!(KeyName::parse(&text).is_err() || text == ARN, "{text}");
        }
    }

    #[test]
    fn an_alias_leads_to_no_key_of_another_account_region_or_partition() {
        let alias = KeyAlias::parse(ALIAS).unwrap();
        assert!(alias.can_lead_to(&KeyArn::parse(ARN).unwrap()));
        for other in [
            ARN.replace("eu-west-1", "eu-west-2"),
            ARN.replace("111122223333", "111122223334"),
            ARN.replace("arn:aws:", "arn:aws-cn:"),
        ] {
            assert!(
                !alias.can_lead_to(&KeyArn::parse(&other).unwrap()),
                "{other}"
            );
        }
    }

    #[test]
    fn only_the_same_multi_region_key_in_another_region_is_a_replica() {
        let key = KeyArn::parse(MRK).unwrap();
        let replica = KeyArn::parse(&MRK.replace("eu-west-1", "us-east-1")).unwrap();
        assert!(replica.is_replica_of(&key) && key.is_replica_of(&replica));
        for other in [
            MRK.to_owned(),
            MRK.replace("1234567890ab", "1234567890ac")
                .replace("eu-west-1", "us-east-1"),
            MRK.replace("111122223333", "111122223334")
                .replace("eu-west-1", "us-east-1"),
            MRK.replace("arn:aws:", "arn:aws-cn:")
                .replace("eu-west-1", "cn-north-1"),
        ] {
            assert!(
                !KeyArn::parse(&other).unwrap().is_replica_of(&key),
                "{other}"
            );
        }
        let single = KeyArn::parse(ARN).unwrap();
        let elsewhere = KeyArn::parse(&ARN.replace("eu-west-1", "us-east-1")).unwrap();
        assert!(
            !elsewhere.is_replica_of(&single),
            "a UUID is one Region's alone"
        );
    }

    proptest! {
        #[test]
        fn an_arn_with_one_character_changed_names_another_key_or_none(at in 0usize..75, with in any::<char>()) {
            let changed: String = ARN.chars().enumerate().map(|(i, c)| if i == at { with } else { c }).collect();
            if let Ok(arn) = KeyArn::parse(&changed) {
                prop_assert_eq!(arn.as_str(), changed.as_str());
                prop_assert!(arn.account().len() == 12 && !arn.region().is_empty());
            }
        }
    }
}
