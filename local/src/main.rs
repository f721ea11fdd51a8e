//! The program: serves the stack, or tells the story.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

use local::{Command, LocalFile, Options, Stack, StackConfig, StartError, demo};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("local: {error}");
            return ExitCode::from(2);
        }
    };
    let outcome = match options.command {
        Command::Help => {
            print!("{}", local::HELP);
            Ok(())
        }
        Command::Demo => demo::tell(|line| println!("{line}"))
            .await
            .map_err(|error| error.to_string()),
        Command::Serve => serve(options).await.map_err(|error| error.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Result<(), StartError> {
    api::log::start_to(std::io::stderr);
    let config = StackConfig {
        http: options.http,
        kms: options.kms,
        dynamodb: options.dynamodb,
        ..StackConfig::on_free_ports(&options.state)
    };
    let stack = Stack::start(config).await?;
    let demo = LocalFile::of(&options.state).prepare(&stack).await?;
    println!(
        "\
HTTP       http://{http}
KMS        http://{kms}      (aws --endpoint-url)
DynamoDB   http://{dynamodb}      (aws --endpoint-url)
state      {state}   (addresses, access keys and the token are in local.json)

workspace  {workspace}, bound to {key}

To paste:

  export BYOK=http://{http}/v1/workspaces/{workspace}
  export TOKEN={token}

  curl -X PUT $BYOK/secrets/example -H \"Authorization: Bearer $TOKEN\" \\
       -d '{{\"value\":\"hello\",\"policy\":{{\"destinations\":[{{\"url\":\"https://example.com/\"}}]}}}}'
  curl $BYOK/secrets/example -H \"Authorization: Bearer $TOKEN\"
  curl -X POST $BYOK/secrets/example/use -H \"Authorization: Bearer $TOKEN\" \\
       -d '{{\"request\":{{\"method\":\"GET\",\"url\":\"https://example.com/\"}}}}'

ready",
        http = stack.http,
        kms = stack.kms_address,
        dynamodb = stack.dynamodb,
        state = options.state.display(),
        workspace = demo.workspace,
        key = demo.key,
        token = demo.token,
    );
    until_told_to_stop().await;
    stack.stop().await;
    Ok(())
}

/// Ctrl-C, or SIGTERM where there is one.
async fn until_told_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
