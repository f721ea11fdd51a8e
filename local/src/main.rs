//! The program: serves the stack, or tells the story.

use local::{Cloud, Command, LocalFile, Options, Stack, StackConfig, cast::Role, demo};
use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => return refuse(2, &error),
    };
    let outcome = match options.command {
        Command::Help => {
            say(local::HELP);
            Ok(())
        }
        Command::Demo => demo::tell(|line| say(&format!("{line}\n")))
            .await
            .map_err(Into::into),
        Command::Serve => serve(options).await,
        Command::Cloud => cloud(options).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(1, error.as_ref()),
    }
}

/// Prints. Whoever read it may have gone: that is no reason to end.
fn say(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn refuse(code: u8, error: &dyn Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "local: {error}");
    ExitCode::from(code)
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    api::log::start_to(std::io::stderr);
    let file = LocalFile::of(&options.state);
    // What is broken there is said before anything is touched.
    file.read()?;
    let stack = Stack::start(config(&options)).await?;
    let demo = file.prepare(&stack).await?;
    // Whoever reads `ready` may stop it at once.
    let mut signals = Signals::listen()?;
    say(&format!(
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
       -d '{{\"value\":\"a-secret-to-try\",\"policy\":{{\"destinations\":[{{\"url\":\"https://example.com/\"}}]}}}}'
  curl $BYOK/secrets/example -H \"Authorization: Bearer $TOKEN\"
  curl -X POST $BYOK/secrets/example/use -H \"Authorization: Bearer $TOKEN\" \\
       -d '{{\"request\":{{\"method\":\"GET\",\"url\":\"https://example.com/\"}}}}'

ready
",
        http = stack.http,
        kms = stack.kms_address,
        dynamodb = stack.dynamodb,
        state = options.state.display(),
        workspace = demo.workspace,
        key = demo.key,
        token = demo.token,
    ));
    signals.next().await;
    tokio::select! {
        () = stack.stop() => {}
        // Told twice: then without waiting for anyone.
        () = signals.next() => {}
    }
    Ok(())
}

/// The KMS and the tables alone, and what to tell functions that run elsewhere.
async fn cloud(options: Options) -> Result<(), Box<dyn Error>> {
    api::log::start_to(std::io::stderr);
    let cloud = Cloud::start(&config(&options)).await?;
    let mut signals = Signals::listen()?;
    let mut lines = String::new();
    for role in [Role::Customer, Role::OtherCustomer] {
        lines += &format!(
            "# {}: AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}\n",
            role.name(),
            role.access_key_id(),
            role.secret_access_key()
        );
    }
    for (name, value) in cloud.environment() {
        lines += &format!("export {name}={value}\n");
    }
    say(&format!("{lines}ready\n"));
    signals.next().await;
    tokio::select! {
        () = cloud.stop() => {}
        // Told twice: then without waiting for anyone.
        () = signals.next() => {}
    }
    Ok(())
}

fn config(options: &Options) -> StackConfig {
    StackConfig {
        http: options.http,
        kms: options.kms,
        dynamodb: options.dynamodb,
        deployment_key: options.deployment_key,
        ..StackConfig::on_free_ports(&options.state)
    }
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves.
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
