"""Which catalog: without a host, the embedded one. A server is one more entry."""

from hydra_zen import builds, store

from deriva_ml import DerivaMLConfig

Connection = builds(DerivaMLConfig, populate_full_signature=True)

store(Connection, group="deriva_ml", name="default_deriva")
store(Connection(hostname="http://localhost:8080", catalog_id="1"), group="deriva_ml", name="served")
