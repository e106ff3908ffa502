# service.hcl
# A server that signs and logs in with the keys that are there, and changes none.
path "signer/data/keys/*" {
  capabilities = ["read"]
}
path "signer/metadata/keys/*" {
  capabilities = ["read"]
}
path "signer/metadata/keys" {
  capabilities = ["list"]
}
# The keys that a custodian's server keeps for itself are not this one's business.
path "signer/data/keys/_privyseal-*" {
  capabilities = ["deny"]
}
# But all servers read what seals the state that they share, and the first of them makes it.
path "signer/data/keys/_privyseal-state" {
  capabilities = ["create", "read"]
}
# The same for what signs the audit log.
path "signer/data/keys/_privyseal-audit" {
  capabilities = ["create", "read"]
}
