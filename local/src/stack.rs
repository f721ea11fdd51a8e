//! The servers of one machine, and their state in one folder.

use crate::{
    cast::{BROKER_ID, Role},
    customer::Customer,
    functions::{AssembleError, Functions, Surroundings},
};
use api::{Clock, edge, edge::Invoke};
use axum::Router;
use dynoxide::Database;
use egress::{AddressGuard, Resolve, SystemResolver};
use envelope::BrokerId;
use local_kms::{Config, LocalKms, OpenError};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use store::{Store, StoreError};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// What to start, and where.
pub struct StackConfig {
    /// The folder of all state; made if it is absent.
    pub state: PathBuf,
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Where the KMS is served.
    pub kms: SocketAddr,
    /// Where DynamoDB is served.
    pub dynamodb: SocketAddr,
    /// The broker's clock.
    pub clock: Clock,
    /// How uses look up names.
    pub resolver: Arc<dyn Resolve>,
}

impl StackConfig {
    /// Everything on free ports of loopback, with the system's clock and names.
    #[must_use]
    pub fn on_free_ports(state: impl Into<PathBuf>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            state: state.into(),
            http: any,
            kms: any,
            dynamodb: any,
            clock: Clock::system(),
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// Why the stack did not start: one line for a person.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not this machine's.
    #[error("cannot listen on {address} ({option}): {source}")]
    Listen {
        /// The option that names it.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The state folder cannot be made or written.
    #[error("cannot use the state folder {}: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The table's file is broken, or another process has it.
    #[error("cannot open the table {}: {reason}", .path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What its reader said.
        reason: String,
    },
    /// The KMS's state is broken, or another process has it.
    #[error("cannot open the KMS: {0}")]
    Kms(#[from] OpenError),
    /// The tables could not be made.
    #[error("cannot make the tables: {0}")]
    Store(#[from] StoreError),
    /// The functions could not be put together.
    #[error("cannot start the functions: {0}")]
    Functions(String),
    /// The demo workspace could not be made, or is not as `local.json` says.
    #[error("{0}")]
    Workspace(String),
}

/// The running servers. They end when it is dropped, or in order by [`stop`](Stack::stop).
pub struct Stack {
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Where the KMS is served.
    pub kms_address: SocketAddr,
    /// Where DynamoDB is served.
    pub dynamodb: SocketAddr,
    /// The KMS itself.
    pub kms: LocalKms,
    /// The table itself.
    pub database: Database,
    /// The records, as the broker's functions see them.
    pub store: Store,
    /// The deployment's id.
    pub broker: BrokerId,
    /// All routes, for requests without a connection.
    pub router: Router,
    /// The functions that are invoked without a route.
    pub invocable: HashMap<&'static str, Invoke>,
    stop: watch::Sender<bool>,
    servers: JoinSet<()>,
}

impl Stack {
    /// Starts all servers on one state folder.
    ///
    /// # Errors
    /// A port is taken, or a part of the state is broken.
    pub async fn start(config: StackConfig) -> Result<Self, StartError> {
        // Ports first: a second start fails on them before it touches any state.
        let http = listen(config.http, "--http").await?;
        let kms_listener = listen(config.kms, "--kms").await?;
        let dynamodb = listen(config.dynamodb, "--dynamodb").await?;
        let addresses = [&http, &kms_listener, &dynamodb].map(|listener| listener.local_addr());
        let [Ok(http_address), Ok(kms_address), Ok(dynamodb_address)] = addresses else {
            return Err(StartError::Functions(
                "a listener has no address".to_owned(),
            ));
        };

        make_private(&config.state).map_err(|source| StartError::Folder {
            path: config.state.clone(),
            source,
        })?;
        let principals = Role::ALL.map(Role::principal).to_vec();
        let kms = LocalKms::open(Config::new(&config.state, principals))?;
        let database = open_table(&config.state)?;

        let functions = Surroundings {
            kms: kms_address,
            dynamodb: dynamodb_address,
            clock: config.clock,
            guard: AddressGuard::parse_list("127.0.0.0/8,::1/128")
                .map_err(|error| StartError::Functions(error.to_string()))?,
            resolver: config.resolver,
        };
        let Functions {
            router,
            invocable,
            store,
        } = functions
            .assemble()
            .map_err(|error: AssembleError| StartError::Functions(error.to_string()))?;

        let (stop, stopped) = watch::channel(false);
        let mut servers = JoinSet::new();
        let wait = |mut stopped: watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let served = (kms.clone(), wait(stopped.clone()));
        servers.spawn(async move { log(local_kms::serve(kms_listener, served.0, served.1).await) });
        let served = (database.clone(), wait(stopped.clone()));
        servers.spawn(async move {
            log(dynoxide::server::serve_with_shutdown(dynamodb, served.0, served.1).await)
        });
        let served = (router.clone(), wait(stopped));
        servers.spawn(async move { log(edge::serve(http, served.0, served.1).await) });

        store.create_tables().await?;
        let broker =
            BrokerId::parse(BROKER_ID).map_err(|error| StartError::Functions(error.to_string()))?;
        Ok(Self {
            http: http_address,
            kms_address,
            dynamodb: dynamodb_address,
            kms,
            database,
            store,
            broker,
            router,
            invocable,
            stop,
            servers,
        })
    }

    /// A customer of this stack's KMS.
    #[must_use]
    pub fn customer(&self, role: Role) -> Customer {
        Customer::new(self.kms.clone(), role)
    }

    /// Stops taking requests, lets those under way end, and closes the state.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.servers.join_next().await.is_some() {}
    }
}

async fn listen(address: SocketAddr, option: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            option,
            address,
            source,
        })
}

fn open_table(state: &Path) -> Result<Database, StartError> {
    let path = state.join("broker.sqlite");
    let broken = |reason: String| StartError::Table {
        path: path.clone(),
        reason,
    };
    let text = path
        .to_str()
        .ok_or_else(|| broken("its path is not UTF-8".to_owned()))?;
    Database::new(text).map_err(|error| broken(error.to_string()))
}

/// Makes the folder for this user alone: it holds the local KMS's key material.
fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn log<E: std::fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a server ended");
    }
}
