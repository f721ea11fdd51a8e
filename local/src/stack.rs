//! The servers of one machine, and their state in one folder.

use crate::{
    cast::{BROKER_ID, Role},
    cloud::{Cloud, EGRESS_ALLOW_CIDRS, Servers, listen},
    customer::Customer,
    functions::{AssembleError, Functions, Surroundings},
    keys::{DeploymentKeys, KeysError},
    rewraps::{self, Rewraps},
    tables::Tables,
};
use api::{Clock, edge, edge::Invoke};
use axum::Router;
use dynoxide::Database;
use egress::{AddressGuard, Resolve, SystemResolver};
use envelope::BrokerId;
use local_kms::{LocalKms, OpenError};
use std::{collections::HashMap, io, net::SocketAddr, path::PathBuf, sync::Arc};
use store::{Store, StoreError};

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
    /// Whether the deployment has a KEK of its own, for workspaces that have none yet.
    pub deployment_key: bool,
    /// Whether keys that are not fenced to their workspace are accepted.
    pub permissive_keys: bool,
    /// How re-wraps are driven.
    pub rewraps: Rewraps,
    /// How many uses may be under way at once.
    pub seats: use_secret::Seats,
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
            deployment_key: false,
            permissive_keys: false,
            rewraps: Rewraps::default(),
            seats: use_secret::Seats::default(),
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
    /// A file of the state is gone, and what it held with it.
    #[error(
        "{} is missing or empty, but local.json beside it tells of a workspace: put the file back, or remove the folder to begin anew",
        .path.display()
    )]
    Gone {
        /// The file.
        path: PathBuf,
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
    /// The deployment's own keys could not be made.
    #[error("cannot make the deployment's keys: {0}")]
    Keys(#[from] KeysError),
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
    /// The deployment's own keys in it.
    pub keys: DeploymentKeys,
    /// The table itself.
    pub database: Database,
    /// Its front door.
    pub tables: Tables,
    /// The records, as the broker's functions see them.
    pub store: Store,
    /// The deployment's id.
    pub broker: BrokerId,
    /// All routes, for requests without a connection.
    pub router: Router,
    /// The functions that are invoked without a route.
    pub invocable: HashMap<&'static str, Invoke>,
    servers: Servers,
}

impl Stack {
    /// Starts all servers on one state folder.
    ///
    /// # Errors
    /// A port is taken, or a part of the state is broken.
    pub async fn start(config: StackConfig) -> Result<Self, StartError> {
        // Ports first: a second start fails on them before it touches any state.
        let (listener, http) = listen(config.http, "--http").await?;
        let mut cloud = Cloud::start(&config).await?;
        let functions = Surroundings {
            kms: cloud.kms_address,
            dynamodb: cloud.dynamodb,
            keys: cloud.keys.clone(),
            permissive_keys: config.permissive_keys,
            rewraps: config.rewraps,
            seats: config.seats,
            clock: config.clock,
            guard: AddressGuard::parse_list(EGRESS_ALLOW_CIDRS)
                .map_err(|error| StartError::Functions(error.to_string()))?,
            resolver: config.resolver,
        };
        let Functions {
            router, invocable, ..
        } = functions
            .assemble()
            .map_err(|error: AssembleError| StartError::Functions(error.to_string()))?;
        let served = router.clone();
        cloud
            .servers
            .spawn(|stopped| edge::serve(listener, served, stopped));
        if let (Some(every), Some(rewrap)) = (
            config.rewraps.every,
            invocable.get("rewrap-secrets").cloned(),
        ) {
            cloud
                .servers
                .spawn(|stopped| rewraps::drive(rewrap, every, stopped));
        }
        let broker =
            BrokerId::parse(BROKER_ID).map_err(|error| StartError::Functions(error.to_string()))?;
        Ok(Self {
            http,
            kms_address: cloud.kms_address,
            dynamodb: cloud.dynamodb,
            kms: cloud.kms,
            keys: cloud.keys,
            database: cloud.database,
            tables: cloud.tables,
            store: cloud.store,
            broker,
            router,
            invocable,
            servers: cloud.servers,
        })
    }

    /// A customer of this stack's KMS.
    #[must_use]
    pub fn customer(&self, role: Role) -> Customer {
        Customer::new(self.kms.clone(), role)
    }

    /// Stops taking requests, lets those under way end, and closes the state. After five
    /// seconds it waits no longer: a client may have sent half a request and no more.
    pub async fn stop(self) {
        self.servers.stop().await;
    }
}
