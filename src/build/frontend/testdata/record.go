// Asks BuildKit's own frontend what it makes of a Dockerfile; answers.jsonl was recorded with it.
// Put it into cmd/record of a checkout of github.com/moby/buildkit at v0.25.2 and build it with Go 1.24 (-mod=vendor).
// Arguments: the Dockerfile, a JSON file of image configs by short name (an image that is not among them is "busy:1",
// unless its name holds "nosuch"), and {"Args", "Labels", "Target", "Platform", "Multi"}.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

type resolver map[string]json.RawMessage

func (r resolver) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", "", nil, err
	}
	key := strings.TrimPrefix(reference.TagNameOnly(named).String(), "docker.io/library/")
	dt, ok := r[key]
	if !ok && !strings.Contains(key, "nosuch") {
		dt, ok = r["busy:1"]
	}
	if !ok {
		return "", "", nil, fmt.Errorf("not found: %s", ref)
	}
	return ref, digest.Digest("sha256:" + strings.Repeat("1", 64)), dt, nil
}

func main() {
	dt, _ := os.ReadFile(os.Args[1])
	known := resolver{}
	kd, _ := os.ReadFile(os.Args[2])
	json.Unmarshal(kd, &known)
	var req struct {
		Args, Labels map[string]string
		Target       string
		Platform     string
		Multi        bool
	}
	json.Unmarshal([]byte(os.Args[3]), &req)
	if req.Args == nil {
		req.Args = map[string]string{}
	}
	build := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	var caps apicaps.CapList
	caps = pb.Caps
	cs := caps.CapSet(caps.All())
	warnings := []string{}
	opt := dockerfile2llb.ConvertOpt{
		Config:       dockerui.Config{BuildArgs: req.Args, Labels: req.Labels, Target: req.Target, BuildPlatforms: []ocispecs.Platform{build}, MultiPlatformRequested: req.Multi},
		MetaResolver: known, LLBCaps: &cs,
		Warn: func(rule, desc, url, msg string, loc []parser.Range) {
			line := 0
			if len(loc) > 0 {
				line = loc[0].Start.Line
			}
			warnings = append(warnings, fmt.Sprintf("%s: %s (line %d)", rule, msg, line))
		},
	}
	if req.Platform != "" {
		p := platforms.MustParse(req.Platform)
		opt.TargetPlatform = &p
	}
	out := map[string]any{}
	st, img, _, _, err := dockerfile2llb.Dockerfile2LLB(context.Background(), dt, opt)
	if err != nil {
		out["error"] = err.Error()
	} else {
		out["image"] = img
		if st.Output() != nil {
			def, err := st.Marshal(context.Background())
			if err != nil {
				out["error"] = err.Error()
			} else {
				ops := []any{}
				pbd := def.ToPB()
				for _, d := range pbd.Def {
					var op pb.Op
					if err := op.UnmarshalVT(d); err != nil {
						panic(err)
					}
					dgst := digest.FromBytes(d)
					md := pbd.Metadata[string(dgst)]
					name := ""
					ign := false
					if md != nil {
						name = md.Description["llb.customname"]
						ign = md.IgnoreCache
					}
					ops = append(ops, map[string]any{"digest": dgst, "name": name, "ignore": ign, "op": &op})
				}
				out["ops"] = ops
			}
		}
	}
	out["warnings"] = warnings
	json.NewEncoder(os.Stdout).Encode(out)
}
