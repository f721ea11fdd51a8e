//! What is recorded: one Decrypt in the customer's log and one receipt for each use.

use crate::world::Tenant;
use local::Upstream;
use serde_json::Value;

const SECRET: &str = "the-secret-of-the-audit-tests";

#[tokio::test]
async fn each_use_is_one_decrypt_in_the_customers_log_and_one_receipt_that_names_it() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", SECRET, &upstream).await;
    let mut receipts = Vec::new();
    for _ in 0..5 {
        let used = tenant.use_once("thing", &upstream).await.json();
        receipts.push((
            used["receipt"]["id"].as_str().unwrap().to_owned(),
            used["receipt"]["kmsRequestId"].as_str().unwrap().to_owned(),
        ));
    }
    let decrypts: Vec<Value> = tenant
        .world
        .events(&tenant.workspace)
        .into_iter()
        .filter(|event| {
            event["eventName"] == "Decrypt"
                && event["errorCode"].is_null()
                && event["requestParameters"]["encryptionContext"]["byok:secret"] == "thing"
        })
        .collect();
    assert_eq!(decrypts.len(), receipts.len());
    for (event, (id, kms)) in decrypts.iter().zip(&receipts) {
        assert_eq!(event["requestID"], *kms);
        assert!(
            event["userAgent"].as_str().unwrap().contains(id),
            "the customer's log names the receipt: {event}"
        );
        assert_eq!(
            event["requestParameters"]["encryptionContext"]["byok:version"],
            "1"
        );
    }
    let audit = tenant.call("GET", "/audit", None).await.json();
    for (id, kms) in &receipts {
        let record = audit["records"]
            .as_array()
            .unwrap()
            .iter()
            .find(|record| record["id"] == *id)
            .unwrap();
        assert_eq!(
            (record["kind"].as_str(), record["secret"].as_str()),
            (Some("use"), Some("thing"))
        );
        assert_eq!(
            (
                record["outcome"]["code"].as_str(),
                record["outcome"]["kmsRequestId"].as_str()
            ),
            (Some("ok"), Some(kms.as_str()))
        );
        assert_eq!(record["destination"], upstream.url("/v1/thing"));
    }
}

#[tokio::test]
async fn the_audit_trail_is_read_in_order_a_page_at_a_time() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", SECRET, &upstream).await;
    for _ in 0..7 {
        assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
    }
    let mut ids = Vec::new();
    let mut after = String::new();
    loop {
        let page = tenant
            .call("GET", &format!("/audit?limit=3{after}"), None)
            .await
            .json();
        ids.extend(
            page["records"]
                .as_array()
                .unwrap()
                .iter()
                .map(|record| record["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    // open, bind, put and seven uses
    assert_eq!(ids.len(), 10);
    assert!(ids.is_sorted());
    let other = tenant
        .call("GET", "/audit?day=2001-01-01", None)
        .await
        .json();
    assert_eq!(other["records"].as_array().unwrap().len(), 0);
    for query in ["?day=today", "?after=x", "?limit=1000"] {
        assert_eq!(
            tenant
                .call("GET", &format!("/audit{query}"), None)
                .await
                .status,
            400,
            "{query}"
        );
    }
}
