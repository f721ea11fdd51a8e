//! A KMS with the deployment's own HMAC keys, one for all tests of this program.

use envelope::{
    BrokerId, KeyArn, RecordKind,
    aws::AwsAccess,
    kms::{CheckMac, Kms, MakeMac},
};
use local_kms::{Config, LocalKms, Principal};
use serde_json::json;
use std::{path::Path, sync::OnceLock, time::Duration};
use store::{Attested, Authority};
use tokio::net::TcpListener;

const REGION: &str = "eu-west-1";
const OPERATOR: &str = "AKIAIOSFODNN7OPERATOR";

/// What makes and checks the MACs of each kind.
pub(crate) struct Macs {
    pub(crate) binding: MakeMac,
    pub(crate) token: MakeMac,
    pub(crate) job: MakeMac,
    /// Of a key that is not there: no MAC can be made.
    pub(crate) gone: MakeMac,
    checks: [(RecordKind, CheckMac); 3],
}

struct House {
    endpoint: String,
    keys: [KeyArn; 3],
}

impl Macs {
    pub(crate) fn new() -> Self {
        static HOUSE: OnceLock<House> = OnceLock::new();
        let house = HOUSE.get_or_init(open);
        let kms = Kms::new(
            AwsAccess::new(OPERATOR, "secret", None),
            Some(house.endpoint.clone()),
        );
        let broker = BrokerId::parse("prod").unwrap();
        let make = |kind, key: &KeyArn| kms.make_mac(kind, key.clone(), broker.clone());
        let check = |kind, key: &KeyArn| (kind, kms.check_mac(kind, key.clone(), broker.clone()));
        let [binding, token, job] = &house.keys;
        let gone = "arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-000000000000";
        Self {
            binding: make(RecordKind::Binding, binding),
            token: make(RecordKind::Token, token),
            job: make(RecordKind::Job, job),
            gone: make(RecordKind::Token, &KeyArn::parse(gone).unwrap()),
            checks: [
                check(RecordKind::Binding, binding),
                check(RecordKind::Token, token),
                check(RecordKind::Job, job),
            ],
        }
    }

    pub(crate) fn authority(&self) -> Authority<'_> {
        Authority {
            binding: &self.binding,
            token: &self.token,
        }
    }

    /// Whether a record's MAC is its own.
    pub(crate) async fn pass(&self, attested: &Attested) -> bool {
        let check = self
            .checks
            .iter()
            .find(|(kind, _)| *kind == attested.kind());
        let (_, check) = check.unwrap();
        let time = Duration::from_secs(10);
        check
            .check(&attested.record(), attested.mac(), time)
            .await
            .is_ok()
    }
}

/// Serves until the program ends, on a runtime of its own: each test has another.
fn open() -> House {
    let name = format!("store-{}", std::process::id());
    let state_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let operator = Principal {
        arn: "arn:aws:iam::444455556666:root".to_owned(),
        access_key_id: OPERATOR.to_owned(),
        secret_access_key: "secret".to_owned(),
        identity_policy: Some(json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}],
        })),
    };
    let kms = LocalKms::open(Config::new(&state_dir, vec![operator])).unwrap();
    // What it leaves behind is removed with the target folder.
    let keys = [(); 3].map(|()| {
        let input = json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"});
        let made = kms.call(OPERATOR, REGION, "CreateKey", input).unwrap();
        KeyArn::parse(made["KeyMetadata"]["Arn"].as_str().unwrap()).unwrap()
    });
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tell.send(format!("http://{address}")).unwrap();
            local_kms::serve(listener, kms, std::future::pending()).await
        })
    });
    House {
        endpoint: told.recv().unwrap(),
        keys,
    }
}
