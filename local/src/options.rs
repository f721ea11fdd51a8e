//! The command line.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

/// What is said on `--help`.
pub const HELP: &str = "\
The whole broker on one machine.

  local [OPTIONS]         serves HTTP, KMS and DynamoDB until Ctrl-C
  local cloud [OPTIONS]   serves KMS and DynamoDB alone, for functions that run
                          elsewhere, and prints the environment to give them
  local demo              tells the whole story once, and ends

  --state DIR             where the state is kept           (.byok)
  --http ADDRESS          where HTTP is served              (127.0.0.1:8080)
  --kms ADDRESS           where the KMS is served           (127.0.0.1:8081)
  --dynamodb ADDRESS      where DynamoDB is served          (127.0.0.1:8082)
                          port 0 takes any that is free
  --deployment-key        the deployment has a key of its own, for workspaces that
                          have bound none yet
";

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Serve until told to stop.
    Serve,
    /// Serve what is the cloud's on AWS, without the functions.
    Cloud,
    /// Tell the story.
    Demo,
    /// Say how it is used.
    Help,
}

/// The command line, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What to do.
    pub command: Command,
    /// The folder of all state.
    pub state: PathBuf,
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Where the KMS is served.
    pub kms: SocketAddr,
    /// Where DynamoDB is served.
    pub dynamodb: SocketAddr,
    /// Whether the deployment has a KEK of its own.
    pub deployment_key: bool,
}

/// The command line cannot be read: one line that says why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; --help tells how")]
pub struct UsageError(String);

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// An argument is unknown or has no proper value.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut options = Self {
            command: Command::Serve,
            state: PathBuf::from(".byok"),
            http: loopback(8080),
            kms: loopback(8081),
            dynamodb: loopback(8082),
            deployment_key: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let argument = text(argument)?;
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| UsageError(format!("{argument} needs a value")))
            };
            match argument.as_str() {
                "cloud" => options.command = Command::Cloud,
                "demo" => options.command = Command::Demo,
                "--deployment-key" => options.deployment_key = true,
                "--help" | "-h" => options.command = Command::Help,
                "--state" => options.state = PathBuf::from(value()?),
                "--http" => options.http = address(value()?)?,
                "--kms" => options.kms = address(value()?)?,
                "--dynamodb" => options.dynamodb = address(value()?)?,
                _ => return Err(UsageError(format!("{argument:?} is no option"))),
            }
        }
        Ok(options)
    }
}

fn text(argument: OsString) -> Result<String, UsageError> {
    argument
        .into_string()
        .map_err(|other| UsageError(format!("{other:?} is not UTF-8")))
}

/// An address of loopback: there is no reason for this stack to be reached from elsewhere.
fn address(argument: OsString) -> Result<SocketAddr, UsageError> {
    let text = text(argument)?;
    let address: SocketAddr = text
        .parse()
        .map_err(|_| UsageError(format!("{text:?} is no address like 127.0.0.1:8080")))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(UsageError(format!("{text} is not on loopback")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, UsageError> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_command_line_says_where_everything_is() {
        let options = parse("--state x --http 127.0.0.1:0 --kms [::1]:9 demo").unwrap();
        assert_eq!(
            (options.command, options.state.as_os_str().to_str()),
            (Command::Demo, Some("x"))
        );
        assert_eq!(parse("cloud").unwrap().command, Command::Cloud);
        assert_eq!(
            (
                options.http.port(),
                options.kms.port(),
                options.dynamodb.port()
            ),
            (0, 9, 8082)
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_in_one_line() {
        for line in [
            "--state",
            "--http 8080",
            "--http 0.0.0.0:8080",
            "--what",
            "serve",
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(
                error.ends_with("--help tells how") && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
