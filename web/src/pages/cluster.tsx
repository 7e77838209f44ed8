// The other servers of the cluster, as this one sees them.

import type { Cluster, Member, Partition } from "../api.ts";
import { count, span } from "../format.ts";
import { Check, Warning } from "../ui/icons.tsx";
import { Num, Panel, Time } from "../ui/parts.tsx";

/** ClusterTrouble says what is wrong, and what follows from it. */
export function ClusterTrouble({ cluster: { level, trouble } }: { cluster: Cluster }) {
  if (trouble === "") return null;
  return (
    <div class={`note ${level}`} role={level === "bad" ? "alert" : "status"}>
      <Warning />
      <p>{trouble}</p>
    </div>
  );
}

export function ClusterPanel({ cluster }: { cluster: Cluster }) {
  const { level, partitions = [] } = cluster;
  const members = partitions.length > 0 ? worst(partitions) : cluster.members;
  const answering = members.filter((member) => !member.silent).length;
  return (
    <Panel title={`Cluster ${cluster.name}`} id="cluster" aside={<span class="faint small">{partitions.length > 0 ? count(partitions.length, "partition") : `term ${cluster.term}`}</span>}>
      <p class={`state ${level === "good" ? "good" : "bad"}`}>
        {level === "good" ? <Check /> : <Warning />}
        {answering === members.length ? `${count(members.length, "server")}, and all answer` : `${answering} of ${count(members.length, "server")} answer`}
      </p>
      <ul class="plain servers">
        {members.map((member) => (
          <li key={member.id}>
            <span class={`lamp ${member.silent ? "down" : "on"}`} />
            <span>
              {member.address}
              <span class="faint small">
                {leads(member, cluster)}
                {!member.voter && " has no vote yet"}
                {member.id === cluster.id && " this one"}
              </span>
            </span>
            <State member={member} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** leads says what a server leads. */
function leads({ address }: Member, { leader, partitions = [] }: Cluster): string | false {
  if (partitions.length === 0) return address === leader && " leads";
  const led = partitions.filter((p) => p.leader === address).map((p) => name(p));
  return led.length > 0 && ` leads ${led.join(", ")}`;
}

const name = ({ partition }: Partition) => `p${String(partition).padStart(2, "0")}`;

/**
 * worst returns the members of all partitions. Each is shown as it is in the
 * partition in which it lacks most.
 */
function worst(partitions: Partition[]): Member[] {
  const at = new Map<string, Member>();
  for (const member of partitions.flatMap((p) => p.members)) {
    const known = at.get(member.address);
    if (known === undefined) {
      at.set(member.address, member);
      continue;
    }
    at.set(member.address, {
      ...(member.behind > known.behind ? member : known),
      id: known.id,
      voter: known.voter && member.voter,
      unfit: known.unfit || member.unfit,
      differs: Math.max(known.differs, member.differs),
    });
  }
  return [...at.values()];
}

function State({ member: { silent, heard, behind, behind_seconds: seconds, unfit, differs } }: { member: Member }) {
  if (silent && heard === null) return <span class="warn">does not answer</span>;
  const lacks = behind > 0 && (
    <>
      lacks <Num n={behind} /> {behind === 1 ? "entry" : "entries"}
      {seconds !== null && seconds >= 1 && ` (${span(Math.round(seconds))})`}
    </>
  );
  if (silent) {
    return (
      <span class="warn">
        silent since <Time at={Date.parse(heard!) / 1000} as="recent" />
        {lacks && <>, {lacks}</>}
      </span>
    );
  }
  if (heard === null) return <span class="faint">not asked yet</span>;
  if (differs > 0) return <span class="warn">other data</span>;
  if (unfit !== "") return <span class="warn">takes no commands</span>;
  return <span class={behind > 0 && seconds !== null && seconds >= 10 ? "warn" : "faint"}>{lacks || "up to date"}</span>;
}
