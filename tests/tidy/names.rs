//! What is named in one place only, and what is named nowhere.

use crate::tree::files;

fn sources() -> Vec<(String, String)> {
    ["shared", "functions", "local"]
        .into_iter()
        .flat_map(|folder| files(folder, &[".rs"]))
        .collect()
}

/// The non-test files that name a thing.
fn naming(thing: &str) -> Vec<String> {
    sources()
        .into_iter()
        .filter(|(path, text)| !path.contains("/tests/") && text.contains(thing))
        .map(|(path, _)| path)
        .collect()
}

#[test]
fn the_aws_clients_are_named_in_one_place_each() {
    assert_eq!(naming("aws_sdk_kms"), ["shared/envelope/src/kms.rs"]);
    let table = naming("aws_sdk_dynamodb");
    assert!(
        !table.is_empty()
            && table
                .iter()
                .all(|path| path.starts_with("shared/store/src/table/")),
        "{table:?}"
    );
    let edge = [
        "shared/api/src/edge/lambda.rs",
        "shared/api/src/edge/lambda/stream.rs",
    ];
    assert_eq!(naming("lambda_runtime"), edge);
}

#[test]
fn a_secret_is_exposed_only_where_it_must_be_or_with_a_reason() {
    // The AEAD and the upstream request need no reason.
    let free = [
        "shared/envelope/src/secret.rs",
        "shared/envelope/src/seal.rs",
        "shared/egress/src/inject.rs",
    ];
    let mut reasoned = 0;
    for (path, text) in sources() {
        if free.contains(&path.as_str()) || path.contains("/tests") || path.ends_with("_tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines: Vec<&str> = code.lines().collect();
        for (at, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.contains(".expose_secret()"))
        {
            let near = &lines[at.saturating_sub(10)..=at];
            assert!(
                near.iter().any(|line| line.contains("EXPOSE:")),
                "{path}:{}: {line}",
                at + 1
            );
            reasoned += 1;
        }
    }
    assert!(reasoned > 0, "the search finds nothing at all");
}

#[test]
fn every_span_skips_its_arguments() {
    for (path, text) in sources() {
        for line in text
            .lines()
            .filter(|line| line.trim_start().starts_with("#[instrument"))
        {
            assert!(line.contains("skip_all"), "{path}: {line}");
        }
    }
}

#[test]
fn only_the_given_logging_levels_are_built() {
    let (_, manifest) = files(".", &["Cargo.toml"])
        .into_iter()
        .find(|(path, _)| path == "Cargo.toml")
        .unwrap();
    let tracing = manifest
        .lines()
        .find(|line| line.starts_with("tracing = "))
        .unwrap();
    assert!(
        tracing.contains("\"max_level_debug\"") && tracing.contains("\"release_max_level_debug\""),
        "{tracing}"
    );
}
