{{/* What each alone may be right, and what together is not: refused with a sentence, as in _validation.tpl. */}}

{{- define "privyseal.validateState" -}}
{{- $state := .Values.state -}}
{{- $given := list -}}
{{- range $name, $value := dict "username" $state.username "existingSecret" $state.existingSecret "ca.existingConfigMap" $state.ca.existingConfigMap "ca.existingSecret" $state.ca.existingSecret "clientCertificate.existingSecret" $state.clientCertificate.existingSecret -}}
{{- if $value }}{{ $given = append $given (printf "state.%s" $name) }}{{ end -}}
{{- end -}}
{{- if and $given (eq $state.url "embedded") -}}
{{- $names := join ", " (sortAlpha $given) -}}
{{- if .Values.valkey.enabled -}}
{{- fail (printf "%s is for a Valkey of yours, and valkey.enabled starts one without password and TLS: set state.url to yours and valkey.enabled=false, or drop it" $names) -}}
{{- end -}}
{{- fail (printf "%s is for a Valkey, and state.url is embedded: set state.url, such as valkeys://valkey.example.com:6379/0, or drop it" $names) -}}
{{- end -}}
{{- $isTls := regexMatch "^(valkeys|rediss)" $state.url -}}
{{- if and (not $isTls) (or $state.ca.existingConfigMap $state.ca.existingSecret $state.clientCertificate.existingSecret) -}}
{{- fail "state.ca and state.clientCertificate are for TLS, and state.url has none: use valkeys://, or drop them" -}}
{{- end -}}
{{- if and $state.sentinelPasswordKey (not (contains "+sentinel:" $state.url)) -}}
{{- fail "state.sentinelPasswordKey is for sentinels, and state.url names none: use valkeys+sentinel://, or drop it" -}}
{{- end -}}
{{- end -}}

{{- define "privyseal.validateNames" -}}
{{- range $name, $ca := dict "state.ca" .Values.state.ca "vault.ca" .Values.vault.ca "tls.clientCa" .Values.tls.clientCa -}}
{{- if and $ca.existingConfigMap $ca.existingSecret -}}
{{- fail (printf "%s.existingConfigMap and %s.existingSecret both bring a CA: choose one" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.policy.existingConfigMap (not (contains "nobody-yet" .Values.policy.document)) -}}
{{- fail "policy.document and policy.existingConfigMap both bring a policy: choose one" -}}
{{- end -}}
{{- range $values, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" -}}
{{- if hasKey $labels $label -}}
{{- fail (printf "%s has %s, by which Services and policies find pods: drop it; nameOverride sets the name" $values $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if hasPrefix "PRIVYSEAL_" .name -}}
{{- fail (printf "extraEnv has %s, which would override what the chart checked and reckoned with: set it under config (server.workers is config.server.workers), or as the value that the chart has for it" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "privyseal.validatePorts" -}}
{{- $ports := .Values.ports -}}
{{- $seen := dict -}}
{{- range $name, $port := $ports -}}
{{- $number := int $port | toString -}}
{{- if hasKey $seen $number -}}
{{- fail (printf "ports.%s and ports.%s are both %s: each needs one of its own" (get $seen $number) $name $number) -}}
{{- end -}}
{{- $_ := set $seen $number $name -}}
{{- end -}}
{{- $urls := dict "vault.address" .Values.vault.address -}}
{{- if ne .Values.state.url "embedded" }}{{ $_ := set $urls "state.url" .Values.state.url }}{{ end -}}
{{- range $name, $url := $urls -}}
{{- range include "privyseal.portsOfUrl" (dict "url" $url "standard" 443) | fromJsonArray -}}
{{- if or (lt (int .) 1) (gt (int .) 65535) -}}
{{- fail (printf "%s has the port %d: ports are from 1 to 65535" $name (int .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "privyseal.validatePods" -}}
{{- if and .Values.autoscaling.enabled .Values.keyCreation.enabled -}}
{{- fail "autoscaling.enabled takes pods away, and with keyCreation.enabled a pod's disk may hold the only copy of a key, which nobody would move on: set replicaCount and autoscaling.enabled=false" -}}
{{- end -}}
{{- $csi := .Values.tls.csi -}}
{{- if and $csi.enabled (ne $csi.driver "csi.spiffe.io") (not .Values.podSecurityContext.fsGroup) (not (hasKey $csi.volumeAttributes (printf "%s/fs-group" $csi.driver))) -}}
{{- fail (printf "tls.csi needs the group that reads its files, and podSecurityContext.fsGroup is not set: name the one that the cluster gives, as tls.csi.volumeAttributes.%s/fs-group" $csi.driver) -}}
{{- end -}}
{{- $key := .Values.tls.certManager.privateKey -}}
{{- $isSmall := lt (int $key.size) 2048 -}}
{{- if and .Values.tls.certManager.enabled (int $key.size) (or (and (eq $key.algorithm "RSA") $isSmall) (and (eq $key.algorithm "ECDSA") (not $isSmall))) -}}
{{- fail (printf "tls.certManager.privateKey.size=%d is none of %s: leave it at 0 for the usual one" (int $key.size) $key.algorithm) -}}
{{- end -}}
{{- if and .Values.jwt.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.extraEgress) (not (include "privyseal.asksVenues" . | trim)) -}}
{{- range $alias, $issuer := .Values.jwt.issuers -}}
{{- if $issuer.jwks_url -}}
{{- fail (printf "jwt.issuers.%s.jwks_url can't be reached, as the NetworkPolicy lets nobody out to it: name its address in networkPolicy.extraEgress" $alias) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
