use std::time::Duration;

use playhouse_mdp::protocol::RegistrySettings;
use playhouse_mdp::protocol::Version;
use playhouse_mdp::transport::{Allow, Endpoint, Keys, Security, SocketSettings};
use playhouse_mdp::{Brokers, RegistryAddress, RegistryServer, ServerSettings};

use crate::support::*;

const INTERVAL: Duration = Duration::from_millis(100);

async fn registry(at: &Endpoint) -> RegistryServer {
    secured(at, Security::None).await
}

async fn secured(at: &Endpoint, security: Security) -> RegistryServer {
    let settings = RegistrySettings { interval: INTERVAL, ..RegistrySettings::default() };
    let socket = SocketSettings { security, ..SocketSettings::default() };
    RegistryServer::start(at, settings, &socket, false).await.unwrap()
}

fn address(registry: &RegistryServer) -> RegistryAddress {
    RegistryAddress { interval: INTERVAL, ..RegistryAddress::new(registry.endpoint().clone()) }
}

async fn announced(registry: &RegistryServer) -> Broker {
    announced_at(address(registry)).await
}

async fn announced_at(registry: RegistryAddress) -> Broker {
    Broker::with(ServerSettings {
        broker: settings(),
        registry: Some(registry),
        ..ServerSettings::bind("tcp://127.0.0.1:0").unwrap()
    })
    .await
}

#[tokio::test]
async fn clients_and_workers_find_brokers_that_come_and_leave_those_that_go() {
    let registry = registry(&"tcp://127.0.0.1:0".parse().unwrap()).await;
    let brokers = Brokers::Registry(address(&registry));
    let flow = serve(worker("echo", &brokers, Version::V2), echo).await;
    let caller = caller(&brokers, Version::V2, true);
    let first = announced(&registry).await;
    assert_eq!(call(&caller, "echo", "a").await.unwrap(), "a");
    let second = announced(&registry).await;
    second.has_workers("echo", 1).await;
    first.stop().await;
    assert_eq!(call(&caller, "echo", "b").await.unwrap(), "b");
    assert_eq!(brokers.now(PATIENCE).await.unwrap(), second.server().endpoints());
    stop(flow).await;
    second.stop().await;
    registry.stop().await;
}

#[tokio::test]
async fn a_registry_that_dies_is_not_missed_and_found_again() {
    let first = registry(&"tcp://127.0.0.1:0".parse().unwrap()).await;
    let brokers = Brokers::Registry(address(&first));
    let broker = announced(&first).await;
    let flow = serve(worker("echo", &brokers, Version::V2), echo).await;
    let caller = caller(&brokers, Version::V2, true);
    assert_eq!(call(&caller, "echo", "a").await.unwrap(), "a");
    let endpoint = first.endpoint().clone();
    first.stop().await;
    assert_eq!(call(&caller, "echo", "b").await.unwrap(), "b");
    let again = registry(&endpoint).await;
    // A follower that comes now is told what the registry learned anew.
    assert_eq!(brokers.now(PATIENCE).await.unwrap(), broker.server().endpoints());
    stop(flow).await;
    broker.stop().await;
    again.stop().await;
}

#[tokio::test]
async fn who_is_let_in_later_is_announced_and_follows_then() {
    let (keys, ours) = (Keys::generate(), Keys::generate());
    let allow = |list| Security::CurveServer { keys: keys.clone(), allow: Allow::Only(list) };
    let strict = secured(&"tcp://127.0.0.1:0".parse().unwrap(), allow(Vec::new())).await;
    let endpoint = strict.endpoint().clone();
    let security = Security::CurveClient { keys: ours.clone(), server: keys.public() };
    let address = RegistryAddress { security, ..address(&strict) };
    let brokers = Brokers::Registry(address.clone());
    let broker = announced_at(address).await;
    let flow = serve(worker("echo", &broker.brokers(), Version::V2), echo).await;
    let caller = caller(&brokers, Version::V2, true);
    brokers.now(3 * INTERVAL).await.unwrap_err();
    strict.stop().await;
    let open = secured(&endpoint, allow(vec![ours.public()])).await;
    assert_eq!(call(&caller, "echo", "a").await.unwrap(), "a");
    stop(flow).await;
    broker.stop().await;
    open.stop().await;
}
