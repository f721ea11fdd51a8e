//! The part of the stack that is the cloud's on AWS: the KMS and the tables, and
//! their state in one folder. The functions are elsewhere: in this process, as a
//! [`Stack`](crate::Stack) has them, or under `cargo lambda watch`.

use crate::{
    cast::{AUDIT_TABLE, BROKER_ID, BROKER_ROLE, REGION, Role, TABLE},
    keys::DeploymentKeys,
    stack::{StackConfig, StartError},
    tables::Tables,
};
use api::edge;
use dynoxide::Database;
use envelope::aws::AwsAccess;
use local_kms::{Config, LocalKms};
use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};
use store::{Store, StoreConfig};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// Where uses may go on this machine besides public addresses: to itself.
pub(crate) const EGRESS_ALLOW_CIDRS: &str = "127.0.0.0/8,::1/128";
/// Any free port of loopback.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How long a stop waits for requests that are under way.
const STOP_TIME: Duration = Duration::from_secs(5);

/// The running KMS and tables. They end when it is dropped, or in order by [`stop`](Cloud::stop).
pub struct Cloud {
    /// Where the KMS is served.
    pub kms_address: SocketAddr,
    /// Where DynamoDB is served.
    pub dynamodb: SocketAddr,
    /// The KMS itself.
    pub kms: LocalKms,
    /// The deployment's own keys in it.
    pub keys: DeploymentKeys,
    /// The table itself.
    pub database: Database,
    /// Its front door.
    pub tables: Tables,
    /// The records, as the broker's functions see them.
    pub store: Store,
    pub(crate) servers: Servers,
}

impl Cloud {
    /// Starts both on one state folder, and makes the tables if they are not there.
    ///
    /// # Errors
    /// A port is taken, or a part of the state is broken.
    pub async fn start(config: &StackConfig) -> Result<Self, StartError> {
        // Ports first: a second start fails on them before it touches any state.
        let (kms_listener, kms_address) = listen(config.kms, "--kms").await?;
        let (listener, dynamodb) = listen(config.dynamodb, "--dynamodb").await?;

        make_private(&config.state).map_err(|source| StartError::Folder {
            path: config.state.clone(),
            source,
        })?;
        check_whole(&config.state)?;
        let principals = Role::ALL.map(Role::principal).to_vec();
        let kms = LocalKms::open(Config::new(&config.state, principals))?;
        let path = config.state.join("broker.sqlite");
        if !path.exists() {
            make_tables(&path).await?;
        }
        let database = open_tables(&path)?;
        let keys = DeploymentKeys::ensure(&kms, config.deployment_key)?;

        let mut servers = Servers::new();
        let served = kms.clone();
        servers.spawn(|stopped| local_kms::serve(kms_listener, served, stopped));
        let served = database.clone();
        let (inner, inner_address) = listen(ANY, "--dynamodb").await?;
        servers.spawn(|stopped| dynoxide::server::serve_with_shutdown(inner, served, stopped));
        let tables = Tables::before(inner_address);
        let served = tables.router();
        servers.spawn(|stopped| edge::serve(listener, served, stopped));

        let store = store(dynamodb);
        Ok(Self {
            kms_address,
            dynamodb,
            kms,
            keys,
            database,
            tables,
            store,
            servers,
        })
    }

    /// The environment of functions that are run elsewhere. `cargo lambda watch` has
    /// one for all of them, so they all call as the broker role, with access keys that
    /// reach all of the tables: nothing there shows what a role may not do.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let role = Role::Watched;
        let deployment = self.keys.deployment.as_ref();
        vec![
            (
                "DEPLOYMENT_KEY_ARN",
                deployment.map_or_else(String::new, ToString::to_string),
            ),
            (
                "AWS_ENDPOINT_URL_KMS",
                format!("http://{}", self.kms_address),
            ),
            (
                "AWS_ENDPOINT_URL_DYNAMODB",
                format!("http://{}", self.dynamodb),
            ),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", role.access_key_id().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", role.secret_access_key()),
            ("BYOK_BROKER", BROKER_ID.to_owned()),
            ("BYOK_TABLE", TABLE.to_owned()),
            ("BYOK_AUDIT_TABLE", AUDIT_TABLE.to_owned()),
            ("BYOK_BROKER_ROLE_ARN", BROKER_ROLE.to_owned()),
            ("BYOK_TOKEN_MAC_KEY", self.keys.token_mac.to_string()),
            ("BYOK_BINDING_MAC_KEY", self.keys.binding_mac.to_string()),
            ("BYOK_JOB_MAC_KEY", self.keys.job_mac.to_string()),
            ("BYOK_CANARY_KEY", self.keys.canary.to_string()),
            ("EGRESS_ALLOW_CIDRS", EGRESS_ALLOW_CIDRS.to_owned()),
        ]
    }

    /// Stops taking requests, lets those under way end, and closes the state.
    pub async fn stop(self) {
        self.servers.stop().await;
    }
}

/// Servers that stop together.
pub(crate) struct Servers {
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

impl Servers {
    fn new() -> Self {
        Self {
            stop: watch::Sender::new(false),
            running: JoinSet::new(),
        }
    }

    /// Runs a server, given what tells it to stop.
    pub(crate) fn spawn<F, E>(&mut self, serve: impl FnOnce(Stopped) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let mut stopped = self.stop.subscribe();
        let server = serve(Box::pin(async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }));
        self.running.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "a server ended");
            }
        });
    }

    /// Tells all to stop, and lets the requests under way end. After five seconds
    /// it waits no longer: a client may have sent half a request and no more.
    pub(crate) async fn stop(mut self) {
        let _ = self.stop.send(true);
        let ended = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIME, ended).await.is_err() {
            tracing::warn!("requests were still under way, and are cut off");
        }
    }
}

/// Ends when the servers are to stop.
pub(crate) type Stopped = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Listens, and says where.
pub(crate) async fn listen(
    address: SocketAddr,
    option: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen {
        option,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// `local.json` is written last: where it is, the rest must be. Without this
/// check, what is gone would be made anew, empty, beside a token that opens nothing.
fn check_whole(state: &Path) -> Result<(), StartError> {
    let there = |name: &str, least: u64| {
        std::fs::metadata(state.join(name)).is_ok_and(|file| file.len() >= least)
    };
    let gone = [("kms.json", 1), ("kms.journal", 0), ("broker.sqlite", 1)]
        .into_iter()
        .find(|(name, least)| !there(name, *least));
    match gone {
        Some((name, _)) if there("local.json", 0) => Err(StartError::Gone {
            path: state.join(name),
        }),
        _ => Ok(()),
    }
}

fn store(dynamodb: SocketAddr) -> Store {
    let role = Role::Broker;
    Store::new(StoreConfig {
        access: AwsAccess::new(role.access_key_id(), &role.secret_access_key(), None),
        region: REGION.to_owned(),
        endpoint: Some(format!("http://{dynamodb}")),
        table: TABLE.to_owned(),
        audit_table: AUDIT_TABLE.to_owned(),
    })
}

fn open_tables(path: &Path) -> Result<Database, StartError> {
    let text = path.to_str().ok_or("its path is not UTF-8");
    let opened = text
        .map(Database::new)
        .map_err(|reason| unusable(path, &reason))?;
    opened.map_err(|error| unusable(path, &error))
}

/// Makes the tables in memory, writes them aside and renames the file: DynamoDB's embedded
/// server makes a table in more than one step, and one that a kill left half made would be
/// taken for a table ever after.
async fn make_tables(path: &Path) -> Result<(), StartError> {
    let memory = Database::memory().map_err(|error| unusable(path, &error))?;
    let (listener, address) = listen(ANY, "--dynamodb").await?;
    let mut servers = Servers::new();
    let served = memory.clone();
    servers.spawn(|stopped| dynoxide::server::serve_with_shutdown(listener, served, stopped));
    store(address).create_tables().await?;
    servers.stop().await;

    let aside = path.with_extension("sqlite.new");
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(unusable(&aside, &error));
        }
        _ => {}
    }
    let text = aside
        .to_str()
        .ok_or_else(|| unusable(path, &"its path is not UTF-8"))?;
    memory
        .vacuum_into(text)
        .map_err(|error| unusable(&aside, &error))?;
    std::fs::File::open(&aside)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&aside, path))
        .map_err(|error| unusable(&aside, &error))
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> StartError {
    StartError::Table {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Makes the folder for this user alone: it holds the local KMS's key material.
fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // Nobody may be shut out of a folder that is for other things, such as /tmp.
    let ours = folder.join("kms.lock").exists();
    if !ours && std::fs::read_dir(folder)?.next().is_some() {
        return Err(io::Error::other(
            "it has other things in it: name an empty folder, or a new one",
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
