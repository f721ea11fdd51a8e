//! open-workspace under Lambda.

use api::{edge, settings::Settings};
use open_workspace::OpenWorkspace;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    let function = OpenWorkspace {
        api: Settings::from_env()?.api(),
    };
    edge::run(edge::finish(Default::default()), Some(function.invoke())).await
}
