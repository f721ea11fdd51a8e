//! What the broker writes for a customer's key policy, and what it says of the customer's own.

use crate::world::{Tenant, World, code};
use local::cast::BROKER_ROLE;
use serde_json::{Value, json};

const PATH: &str = "/key/policy";

#[tokio::test]
async fn each_format_is_a_text_that_nobody_caches_and_no_browser_runs() {
    let tenant = Tenant::unbound(World::shared()).await;
    for format in ["cloudformation", "terraform", "cli"] {
        for way in ["", "&as=policy", "&as=grants"] {
            let answer = tenant
                .call("GET", &format!("{PATH}?format={format}{way}"), None)
                .await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            assert!(text.contains(BROKER_ROLE), "{text}");
            assert!(text.contains(tenant.workspace.as_str()), "{text}");
        }
    }
    for way in ["", "?format=json", "?as=policy", "?format=json&as=grants"] {
        let answer = tenant.call("GET", &format!("{PATH}{way}"), None).await;
        let parts = answer.json();
        assert_eq!(parts["role"], BROKER_ROLE);
        assert_eq!(parts["statements"].as_array().unwrap().len(), 4);
        assert!(parts["grant"].is_object() && parts["cut"].is_object());
    }
    for (field, query) in [
        ("format", "format=yaml"),
        ("format", "format="),
        ("as", "as=Policy"),
        ("query", "format=cli&else=1"),
    ] {
        let answer = tenant.call("GET", &format!("{PATH}?{query}"), None).await;
        assert_eq!(code(&answer), "invalid_request", "{query}");
        assert_eq!(answer.json()["field"], field);
    }
}

async fn lint(tenant: &Tenant<'_>, body: Value) -> Value {
    let answer = tenant
        .call("POST", &format!("{PATH}/lint"), Some(body))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

#[tokio::test]
async fn the_brokers_own_policy_and_grant_pass_the_judgement_and_another_workspaces_do_not() {
    let world = World::shared();
    let (tenant, other) = (Tenant::unbound(world).await, Tenant::unbound(world).await);
    let own = tenant.call("GET", PATH, None).await.json();
    let passed = json!({"grade": "strict", "findings": [], "more": 0});
    let statements = json!({"statements": own["statements"]});
    assert_eq!(lint(&tenant, statements.clone()).await, passed);
    assert_eq!(
        lint(&tenant, json!({"grants": [own["grant"]]})).await,
        passed
    );
    let report = lint(&other, statements).await;
    assert_eq!(report["grade"], "refused");
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["severity"], &finding["code"], &finding["where"]),
        (
            &json!("error"),
            &json!("other_workspace"),
            &json!("statement 1 (Sid ByokPutSecrets)")
        )
    );
    let others = other.call("GET", PATH, None).await.json();
    assert_eq!(finding["mend"], json!([others["statements"][0]]));
}

#[tokio::test]
async fn what_is_no_draft_is_refused_by_name_and_what_is_too_large_unread() {
    let tenant = Tenant::unbound(World::shared()).await;
    let path = format!("{PATH}/lint");
    for (field, body) in [
        ("policy", json!({})),
        ("policy", json!({"policy": 7})),
        ("grants", json!({"grants": 7})),
        ("Statement", json!({"Statement": []})),
    ] {
        let answer = tenant.call("POST", &path, Some(body)).await;
        assert_eq!(code(&answer), "invalid_request");
        assert_eq!(answer.json()["field"], field);
    }
    let huge = json!({"policy": "x".repeat(64 * 1024)});
    let answer = tenant.call("POST", &path, Some(huge)).await;
    assert_eq!((answer.status.as_u16(), code(&answer)), (413, "too_large"));
}
