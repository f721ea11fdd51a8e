//! `local demo`.

use crate::child::{Folder, Started};
use std::{fs, process::Stdio};

#[test]
fn the_demo_tells_its_story_and_leaves_nothing_behind() {
    let folder = Folder::fresh();
    let temporary = folder.at("tmp");
    fs::create_dir(&temporary).unwrap();
    let told = Started::with(&["demo"], |command| {
        command.env("TMPDIR", &temporary);
    })
    .ended();
    assert!(told.status.success(), "{}: {}", told.status, told.errors);
    let story = told.out.join("\n");
    for chapter in 1..=9 {
        assert!(
            story.contains(&format!("\n{chapter}. ")),
            "chapter {chapter} is missing:\n{story}"
        );
    }
    for moment in [
        "the upstream saw",
        "RevokeGrant",
        "key_access_denied",
        "brokerCanDecrypt            false",
        "CreateGrant",
    ] {
        assert!(story.contains(moment), "{moment} is missing:\n{story}");
    }
    let left: Vec<_> = fs::read_dir(&temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_demo_that_cannot_be_told_says_why_and_fails() {
    let folder = Folder::fresh();
    let file = folder.at("file");
    fs::write(&file, "no folder").unwrap();
    let told = Started::with(&["demo"], |command| {
        command.env("TMPDIR", &file);
    })
    .ended();
    assert_eq!(told.status.code(), Some(1));
    assert!(told.out.is_empty(), "{:?}", told.out);
    assert_eq!(told.errors.lines().count(), 1, "{}", told.errors);
    assert!(
        told.errors
            .starts_with("local: cannot use the state folder "),
        "{}",
        told.errors
    );
    assert!(
        told.errors.contains(file.to_str().unwrap()),
        "{}",
        told.errors
    );
}

#[test]
fn a_demo_that_nobody_reads_to_its_end_ends_in_order() {
    let folder = Folder::fresh();
    let temporary = folder.at("tmp");
    fs::create_dir(&temporary).unwrap();
    // A pipe whose reader has gone, as `local demo | head -1` leaves it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let told = Started::with(&["demo"], |command| {
        command
            .env("TMPDIR", &temporary)
            .stdout(Stdio::from(writer));
    })
    .ended();
    assert!(told.status.success(), "{}: {}", told.status, told.errors);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}
