{{/*
What can't be right is refused with a sentence that says what to set. values.schema.json refuses
some of it before, for those who check values without rendering.
*/}}
{{- define "privyseal.validate" -}}
{{- $shared := include "privyseal.isStateShared" . -}}
{{- $replicated := include "privyseal.isReplicated" . -}}
{{- $server := .Values.config.server | default dict -}}
{{- if and $replicated (not $shared) -}}
{{- fail "replicaCount above 1 (or autoscaling.enabled) needs a state that pods share: set state.url to a Valkey, such as valkeys://valkey.example.com:6379/0, or, to try it out, valkey.enabled=true" -}}
{{- end -}}
{{- if and $replicated .Values.embeddedStore.enabled -}}
{{- fail "embeddedStore.enabled is for one pod, as its keys lie on that pod's disk: set replicaCount=1 and autoscaling.enabled=false, or keep the keys in Vault (embeddedStore.enabled=false)" -}}
{{- end -}}
{{- if and (gt (int ($server.workers | default 1)) 1) (not $shared) -}}
{{- fail "config.server.workers above 1 needs a state that they share: set state.url to a Valkey, or config.server.workers=1" -}}
{{- end -}}
{{- if and (gt (int ($server.workers | default 1)) 1) (or .Values.embeddedStore.enabled (ne .Values.audit.destination "file")) -}}
{{- fail "config.server.workers above 1 needs keys in Vault (embeddedStore.enabled=false) and audit.destination=file; or leave it at 1 and raise replicaCount" -}}
{{- end -}}
{{- if and .Values.valkey.enabled (ne .Values.state.url "embedded") -}}
{{- fail "state.url names a Valkey, and valkey.enabled would start another: drop one of them" -}}
{{- end -}}
{{- if and .Values.valkey.enabled (not .Values.networkPolicy.enabled) -}}
{{- fail "valkey.enabled starts a Valkey without a password, which needs networkPolicy.enabled=true to keep others out: set that, or state.url to a Valkey of yours" -}}
{{- end -}}
{{- if not .Values.persistence.enabled -}}
{{- if not $shared -}}
{{- fail "state.url is embedded, so nonces and holds lie on the pod's disk and must outlive it: set persistence.enabled=true, or state.url to a Valkey" -}}
{{- end -}}
{{- if .Values.keyCreation.enabled -}}
{{- fail "keyCreation.enabled needs a disk that outlives the pod, for keys that a venue issued while Vault was away: set persistence.enabled=true" -}}
{{- end -}}
{{- if eq .Values.audit.destination "file" -}}
{{- fail "audit.destination=file needs a disk that outlives the pod: set persistence.enabled=true, or audit.destination=stdout" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.embeddedStore.enabled (not .Values.embeddedStore.existingSecret) -}}
{{- fail "embeddedStore.existingSecret is missing: make one with 'head -c 32 /dev/urandom > store.key; kubectl create secret generic NAME --from-file=store.key' and name it" -}}
{{- end -}}
{{- if and .Values.embeddedStore.enabled (not .Values.persistence.enabled) -}}
{{- fail "embeddedStore.enabled keeps keys on the pod's disk: set persistence.enabled=true" -}}
{{- end -}}
{{- if not .Values.embeddedStore.enabled -}}
{{- $auth := .Values.vault.auth -}}
{{- if and (has $auth.method (list "approle" "tls-certificate" "token-file")) (not $auth.existingSecret) -}}
{{- fail (printf "vault.auth.method=%s needs vault.auth.existingSecret: a Secret with what it logs in with (see values.yaml)" $auth.method) -}}
{{- end -}}
{{- if and (has $auth.method (list "kubernetes" "jwt")) (not $auth.role) -}}
{{- fail (printf "vault.auth.method=%s needs vault.auth.role, the role that Vault knows this service by" $auth.method) -}}
{{- end -}}
{{- if and (hasPrefix "http://" .Values.vault.address) (not .Values.vault.allowPlaintext) -}}
{{- fail "vault.address is http://: tokens and secrets would cross the network in clear. Use https://, or set vault.allowPlaintext=true if something else encrypts that way" -}}
{{- end -}}
{{- end -}}
{{- if and $shared (not .Values.valkey.enabled) (not .Values.state.allowPlaintext) (not (regexMatch "^(valkeys|rediss)" .Values.state.url)) -}}
{{- fail "state.url is not encrypted: use valkeys:// (TLS), or set state.allowPlaintext=true if nobody else can reach that network" -}}
{{- end -}}
{{- if and (or .Values.state.username .Values.state.sentinelPasswordKey) (not .Values.state.existingSecret) -}}
{{- fail "state.username and state.sentinelPasswordKey need state.existingSecret, the Secret with the passwords" -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled .Values.tls.csi.enabled -}}
{{- fail "tls.certManager.enabled and tls.csi.enabled both bring a certificate: choose one" -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef.name is missing: the issuer that signs the server's certificate" -}}
{{- end -}}
{{- if and .Values.tls.csi.enabled (eq .Values.tls.csi.driver "csi.spiffe.io") (not .Values.extraContainers) -}}
{{- fail "tls.csi.driver=csi.spiffe.io brings the Workload API's socket and no files: add a helper to extraContainers that writes tls.crt, tls.key and ca.crt into the volume 'tls', or use spiffe.csi.cert-manager.io" -}}
{{- end -}}
{{- if and (not .Values.tls.clientCa.enabled) (not .Values.jwt.enabled) -}}
{{- fail "tls.clientCa.enabled=false leaves nobody who could prove who he is: set jwt.enabled=true and an issuer, or ask for certificates" -}}
{{- end -}}
{{- if and .Values.jwt.enabled (not .Values.jwt.issuers) (not .Values.jwt.kubernetes.enabled) -}}
{{- fail "jwt.enabled needs an issuer: set jwt.issuers, or jwt.kubernetes.enabled=true for this cluster's service accounts" -}}
{{- end -}}
{{- if and .Values.jwt.enabled .Values.jwt.kubernetes.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.kubernetesApi.cidrs) -}}
{{- fail "jwt.kubernetes.enabled reads the cluster's keys from its API server: name its addresses in networkPolicy.kubernetesApi.cidrs, such as {10.0.0.1/32} (kubectl get endpointslices -l kubernetes.io/service-name=kubernetes)" -}}
{{- end -}}
{{- if and $server.jwt (not .Values.jwt.enabled) -}}
{{- fail "config.server.jwt says how tokens are read, and none are: set jwt.enabled=true and an issuer, or drop it" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- fail "serviceMonitor.enabled and podMonitor.enabled would scrape each pod twice: choose one" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) -}}
{{- fail "autoscaling.maxReplicas is below autoscaling.minReplicas" -}}
{{- end -}}
{{- end -}}
