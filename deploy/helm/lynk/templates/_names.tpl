{{- define "lynk.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "lynk.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lynk.labels" -}}
{{ include "lynk.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "lynk.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* lynk.toml: what the chart sets, then the values as TOML. JSON's texts, numbers and lists of texts are TOML's. */ -}}
{{- define "lynk.toml" -}}
[admin]
# For probes and monitoring; the network policy says who may come.
address = "0.0.0.0:7778"

[data]
dir = "/data"
{{- if .Values.credentials.secretName }}

[credentials]
dir = {{ .Values.credentials.mountPath | toJson }}
{{- end }}

[listen]
address = "0.0.0.0:7777"
{{- range $key, $value := .Values.config.listen }}
{{ $key }} = {{ if kindIs "float64" $value }}{{ int64 $value }}{{ else }}{{ toJson $value }}{{ end }}
{{- end }}
{{- range $section, $keys := omit .Values.config "listen" }}

[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ if kindIs "float64" $value }}{{ int64 $value }}{{ else }}{{ toJson $value }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}
