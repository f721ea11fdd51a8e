//! use-secret under Lambda, behind the HTTP API: all but the pass-through.

use api::edge;
use use_secret::{deployed, routes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    edge::run(edge::finish(routes(deployed()?).into()), None).await
}
